//! The configuration as users meet it: files, variables and flags in, settings or problems out.

use std::path::Path;

use toml::Value;

use super::template::every_key;
use super::*;

fn inputs(file: &str, environment: &[(&str, &str)]) -> Inputs {
    let own = |&(name, text): &(&str, &str)| (name.to_owned(), text.to_owned());
    Inputs {
        file: Some(("t.toml".into(), file.into())),
        environment: environment.iter().map(own).collect(),
        flags: Vec::new(),
    }
}

fn good(file: &str, environment: &[(&str, &str)]) -> Config {
    load(&inputs(file, environment)).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Everything that is said about a file, one problem a line.
fn said(file: &str) -> String {
    load(&inputs(file, &[]))
        .expect_err("something is wrong")
        .to_string()
}

fn shipped() -> Value {
    toml::from_str(SHIPPED).expect("the shipped file is TOML")
}

fn defaults() -> Value {
    Value::try_from(Config::default()).expect("settings are plain data")
}

#[test]
fn the_shipped_file_holds_every_key_with_its_default() {
    assert_eq!(shipped(), defaults());
}

#[test]
fn every_key_of_the_shipped_file_is_known() {
    assert_eq!(good(SHIPPED, &[]), Config::default());
    let all = every_key(SHIPPED);
    let mut all_text = toml::to_string(&all).expect("TOML");
    // An entry has either of the two.
    all_text = all_text.replace("regex = \"metrics-.*\"\n", "");
    let config = good(&all_text, &[]);
    assert_eq!(config.store.region.as_deref(), Some("eu-central-1"));
}

#[test]
fn every_key_of_the_shipped_file_is_explained() {
    let lines: Vec<&str> = SHIPPED.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let key = line.split(" = ").next().unwrap_or_default();
        let free = ["metrics", "\"", "#\"", "#datacentre"]
            .iter()
            .any(|free| key.starts_with(free));
        if line.contains(" = ") && !line.starts_with("# ") && !free {
            assert!(
                lines[at - 1].starts_with("# "),
                "line {}: {line} has no comment",
                at + 1
            );
        }
    }
}

#[test]
fn defaults_are_possible_and_an_empty_file_means_them() {
    assert_eq!(Config::default().faults(), []);
    assert_eq!(good("", &[]), Config::default());
}

#[test]
fn unknown_keys_are_refused_with_place_and_choices() {
    let said = said("[kafka]\nstart = 'latest'\n\n  broker = ['a:1']\n");
    assert!(
        said.starts_with("t.toml:4:3: `kafka.broker`: unknown key; did you mean `brokers`?"),
        "{said}"
    );
    assert!(
        said.contains("valid keys here: brokers, topics, "),
        "{said}"
    );
}

#[test]
fn all_problems_are_listed_in_their_order() {
    let said = said(
        "htpp = 1\n[http]\nlisten = 'nowhere'\n[[kafka.topics]]\nname = 'a'\nformat = 'jsn'\n\
         [[kafka.topics]]\nregex = '('\n[stream]\nepoch_ms = '1s'\ncommit_interval_ms = 0\n\
         [encode.commit]\nzstd_level = 40\n[cluster]\nprocess = 1\n",
    );
    let lines: Vec<&str> = said.lines().collect();
    let places: Vec<&str> = lines
        .iter()
        .map(|line| line.split(": ").next().unwrap_or(""))
        .collect();
    assert_eq!(
        places,
        [
            "t.toml:1:1",
            "t.toml:3:10",
            "t.toml:6:10",
            "t.toml:8:9",
            "t.toml:10:12",
            "t.toml:11:22",
            "t.toml:13:14",
            "t.toml:15:11"
        ],
        "{said}"
    );
    assert!(lines[0].contains("did you mean `http`?"), "{said}");
    assert!(
        lines[2].contains("did you mean `json`?") && lines[2].contains("kafka.topics[0].format"),
        "{said}"
    );
    assert!(lines[4].contains("expected a whole number, got"), "{said}");
    assert!(lines[6].contains("40 can't be; give 1 to 22"), "{said}");
}

#[test]
fn items_of_lists_are_named_by_where_they_stand() {
    let brokers = said("[kafka]\nbrokers = ['bad1', 'good:9092', 'bad2', 'bad3']\n");
    let lines: Vec<&str> = brokers.lines().collect();
    assert_eq!(lines.len(), 3, "{brokers}");
    for (line, begins) in lines.iter().zip([
        "t.toml:2:12: `kafka.brokers[0]`: \"bad1\"",
        "t.toml:2:33: `kafka.brokers[2]`: \"bad2\"",
        "t.toml:2:41: `kafka.brokers[3]`: \"bad3\"",
    ]) {
        assert!(line.starts_with(begins), "{brokers}");
    }
    let topics = said(
        "[[kafka.topics]]\nformat = 'json'\n[[kafka.topics]]\nname = 'a'\n[[kafka.topics]]\n\
         format = 'json'\n",
    );
    let lines: Vec<&str> = topics.lines().collect();
    assert_eq!(lines.len(), 2, "{topics}");
    assert!(
        lines[0].contains("t.toml:1:1: `kafka.topics[0]"),
        "{topics}"
    );
    assert!(
        lines[1].contains("t.toml:5:1: `kafka.topics[2]"),
        "{topics}"
    );
}

#[test]
fn items_found_wrong_one_after_another_are_named_by_where_they_stand() {
    // The first by its kind, the others by what they say, once the first is out.
    let said = said("[kafka]\nbrokers = [7, 'good:9092', 'bad']\n");
    assert!(said.contains("t.toml:2:12: `kafka.brokers[0]`"), "{said}");
    assert!(said.contains("t.toml:2:28: `kafka.brokers[2]`"), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn what_is_no_toml_is_reported_wherever_it_is() {
    let said = said("a = \n[kafka\nbrokers = [1\n");
    assert!(said.lines().count() >= 2, "{said}");
    assert!(said.contains("t.toml:1:"), "{said}");
}

#[test]
fn half_a_table_keeps_the_other_half() {
    let config = good(
        "[encode.commit]\nzstd_level = 7\n[store.credentials]\nfrom = 'anonymous'",
        &[],
    );
    assert_eq!(
        (
            config.encode.commit.zstd_level,
            config.encode.commit.page_rows
        ),
        (7, 1 << 17)
    );
}

#[test]
fn the_environment_goes_above_the_file_and_flags_above_both() {
    let file = "[store]\nurl = 's3://file/x'\n[kafka]\nbrokers = ['file:1']";
    let environment = [
        ("TIDEGAUGE_STORE__URL", "s3://env/x"),
        ("TIDEGAUGE_KAFKA__BROKERS", "env:1, env:2"),
    ];
    let mut inputs = inputs(file, &environment);
    let config = load(&inputs).expect("good");
    assert_eq!(config.store.url, "s3://env/x");
    assert_eq!(config.kafka.brokers, ["env:1", "env:2"]);
    let flag = Flag {
        name: "--store",
        key: "store.url",
        value: "s3://flag/x".into(),
    };
    inputs.flags.push(flag);
    assert_eq!(load(&inputs).expect("good").store.url, "s3://flag/x");
}

#[test]
fn variables_and_flags_are_named_where_they_are_wrong() {
    let mut inputs = inputs(
        "",
        &[
            ("TIDEGAUGE_STORE__ULR", "x"),
            ("TIDEGAUGE_CLUSTER__WORKERS", "many"),
        ],
    );
    inputs.flags.push(Flag {
        name: "--listen",
        key: "http.listen",
        value: "7070".into(),
    });
    let said = load(&inputs).expect_err("wrong").to_string();
    assert!(said.contains("environment variable TIDEGAUGE_STORE__ULR: `store.ulr`: unknown key; did you mean `url`?"), "{said}");
    assert!(said.contains("environment variable TIDEGAUGE_CLUSTER__WORKERS: `cluster.workers`: expected a whole number"), "{said}");
    assert!(
        said.contains("flag --listen: `http.listen`: expected an address as `IP:PORT`"),
        "{said}"
    );
}

#[test]
fn places_follow_the_data_directory_unless_set() {
    let config = good(
        "data = '/srv/tide'\n[agent]\nbuffer_dir = '/elsewhere'",
        &[],
    );
    assert_eq!(config.broker.dir, Path::new("/srv/tide/kafka"));
    assert_eq!(config.agent.buffer_dir, Path::new("/elsewhere"));
    assert_eq!(config.store_url().expect("a path"), "file:///srv/tide/lake");
    let config = good("[store]\nurl = '/a b'", &[]);
    assert_eq!(config.store_url().expect("a path"), "file:///a%20b");
}

const SECRETS: [(&str, &str); 3] = [
    ("TIDEGAUGE_KAFKA__LIBRDKAFKA__SASL_PASSWORD", "hush-1"),
    ("TIDEGAUGE_AGENT__KAFKA__SSL_KEY_PASSWORD", "hush-2"),
    ("TIDEGAUGE_STORE__ENDPOINT", "https://me:hush-3@minio:9000"),
];

#[test]
fn secrets_are_shown_nowhere() {
    let config = good("", &SECRETS);
    assert_eq!(config.kafka.librdkafka.0["sasl.password"], "hush-1");
    assert_eq!(config.agent.kafka["ssl.key.password"], "hush-2");
    for shown in [config.show(), format!("{config:?}"), format!("{config:#?}")] {
        assert!(!shown.contains("hush") && shown.contains(HIDDEN), "{shown}");
    }
    let wrong = said("[kafka.librdkafka]\n'sasl.password' = ['hush-4']\n'ssl.key.pem' = 5555\n");
    assert!(
        !wrong.contains("hush") && !wrong.contains("5555"),
        "{wrong}"
    );
    assert_eq!(wrong.lines().count(), 2, "{wrong}");
}

#[test]
fn what_is_shown_can_be_read_again_and_keeps_its_comments() {
    assert_eq!(Config::default().show(), SHIPPED);
    let file = "[kafka]\nbrokers = ['k:9092']\n[[kafka.topics]]\nregex = 'm-.*'\nrelabel = \
        [{ action = 'drop', source_labels = ['__name__'], regex = 'go_.*' }]\n[[kafka.topics]]\n\
        name = 'b'\n[kafka.librdkafka]\n'client.rack' = 'r1'\n[store]\nregion = 'x'\n";
    let config = good(file, &[]);
    let shown = config.show();
    assert_eq!(good(&shown, &[]), config, "{shown}");
    assert!(
        shown.contains("# For s3: the region.\nregion = \"x\"\n"),
        "{shown}"
    );
    assert_eq!(shown.matches("[[kafka.topics]]").count(), 2, "{shown}");
}
