//! The HTTP API, spoken to over a socket.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{DAY, Lake, Sample, series};
use tidegauge_queries::{Engine, EngineSettings, http};
use tidegauge_tables::FileKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// More than a query of these tests ever takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Rows without end, for practical purposes.
const ENDLESS: &str = "select a.value, b.value as other from generate_series(1, 1000000) a cross join generate_series(1, 1000000) b";

async fn serve(settings: EngineSettings) -> (Arc<Engine>, String) {
    let mut lake = Lake::default();
    let cpu = |host| series("default", "cpu.load", &[("host", host)]);
    let sample = |host, second: i64, value| Sample {
        series: cpu(host),
        time: DAY + second * 1000,
        value,
    };
    let rows = vec![
        sample("a", 0, 0.5),
        sample("a", 1, f64::NAN),
        sample("b", 0, 2.0),
    ];
    lake.samples(FileKind::Main, 1, rows).await;
    let seen = |host| (cpu(host), DAY, DAY + 1000);
    lake.series(FileKind::Main, 1, vec![seen("a"), seen("b")])
        .await;
    let engine = Arc::new(lake.engine(settings));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let router = http::router(Arc::clone(&engine));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (engine, address)
}

/// An answer as it came over the wire.
struct Reply {
    status: u16,
    head: String,
    body: String,
    /// Whether the last, empty chunk came.
    whole: bool,
}

async fn send(address: &str, head: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("served");
    let length = body.len();
    let request =
        format!("{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n");
    let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
    let request = if headers.is_empty() {
        format!("{request}\r\n{body}")
    } else {
        format!(
            "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{}\r\n\r\n{body}",
            headers.replace('\n', "\r\n")
        )
    };
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

async fn ask(address: &str, head: &str, body: &str) -> Reply {
    let mut stream = send(address, head, body).await;
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .expect("in time");
    let end = bytes
        .windows(4)
        .position(|at| at == b"\r\n\r\n")
        .expect("a head");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let rest = &bytes[end + 4..];
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .expect("a status");
    let chunked = head.contains("transfer-encoding: chunked");
    let (body, whole) = if chunked {
        unchunk(rest)
    } else {
        (rest.to_vec(), read.is_ok())
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    Reply {
        status,
        head,
        body,
        whole,
    }
}

/// The body, and whether its last, empty chunk came.
fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(at) = rest.windows(2).position(|at| at == b"\r\n") {
        let size = String::from_utf8_lossy(&rest[..at]).into_owned();
        let Ok(size) = usize::from_str_radix(&size, 16) else {
            break;
        };
        if size == 0 {
            return (body, true);
        }
        let tail = &rest[at + 2..];
        body.extend_from_slice(&tail[..size.min(tail.len())]);
        rest = tail.get(size + 2..).unwrap_or(&[]);
    }
    (body, false)
}

async fn until_idle(engine: &Engine) {
    let idle = async {
        while engine.running() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, idle).await.expect("the query stops");
}

#[tokio::test]
async fn each_format_is_served() {
    let (_engine, address) = serve(EngineSettings::default()).await;
    let query = "select time, host, value from raw.\"cpu.load\" order by host, time";
    let json = ask(&address, "POST /api/v1/sql", query).await;
    assert_eq!(json.status, 200, "{}", json.body);
    assert!(json.whole && json.head.contains("content-type: application/json"));
    let parsed: serde_json::Value = serde_json::from_str(&json.body).expect("JSON");
    assert_eq!(
        parsed,
        serde_json::json!([
            {"time": "2026-11-21T00:00:00Z", "host": "a", "value": 0.5},
            {"time": "2026-11-21T00:00:01Z", "host": "a", "value": "NaN"},
            {"time": "2026-11-21T00:00:00Z", "host": "b", "value": 2.0},
        ])
    );
    let csv = ask(&address, "POST /api/v1/sql\naccept: text/csv", query).await;
    assert_eq!(
        csv.body.lines().nth(1),
        Some("2026-11-21T00:00:00Z,a,0.5"),
        "{}",
        csv.body
    );
    let lines = ask(
        &address,
        "POST /api/v1/sql\naccept: application/x-ndjson",
        query,
    )
    .await;
    assert_eq!(lines.body.lines().count(), 3);
    let arrow = ask(
        &address,
        "POST /api/v1/sql\naccept: application/vnd.apache.arrow.stream",
        query,
    )
    .await;
    assert!(arrow.whole && arrow.head.contains("vnd.apache.arrow.stream"));
    let table = ask(
        &address,
        "GET /api/v1/sql?q=select%201%20as%20one&format=table",
        "",
    )
    .await;
    assert!(
        table.body.contains("one") && table.body.contains("1 row"),
        "{}",
        table.body
    );
    let body = serde_json::json!({"query": "select count(*) as n from samples", "tenant": "other"});
    let head = "POST /api/v1/sql\ncontent-type: application/json";
    let other = ask(&address, head, &body.to_string()).await;
    assert_eq!(other.body, "[{\"n\":0}]\n");
    // As curl sends it: whatever it is, it is called a form.
    for (body, expected) in [
        ("select 1 as one", "[{\"one\":1}]\n"),
        ("query=select+1%2B1+as+two", "[{\"two\":2}]\n"),
        ("query=select 'a b' as \"x\"", "[{\"x\":\"a b\"}]\n"),
        ("{\"query\":\"select 3 as three\"}", "[{\"three\":3}]\n"),
    ] {
        let head = "POST /api/v1/sql\ncontent-type: application/x-www-form-urlencoded";
        assert_eq!(ask(&address, head, body).await.body, expected, "{body}");
    }
    // Longer than an address can be.
    let long = format!(
        "query=select+5+as+five+--{}&format=csv",
        "%20".repeat(70_000)
    );
    let head = "POST /api/v1/sql\ncontent-type: application/x-www-form-urlencoded";
    assert_eq!(ask(&address, head, &long).await.body, "five\n5\n");
}

#[tokio::test]
async fn faults_have_a_status_and_say_what_to_do() {
    let (_engine, address) = serve(EngineSettings::default()).await;
    for (query, status, says) in [
        (
            "select * from raw.\"cpu.laod\"",
            400,
            "did you mean raw.\\\"cpu.load\\\"",
        ),
        ("select * from raw.cpu.load", 400, "raw.\\\"cpu.load\\\""),
        ("select nothing from samples", 400, "nothing"),
        (
            "selec 1",
            400,
            "\"error\":\"Expected: an SQL statement, found: selec",
        ),
        ("drop table samples", 400, "only queries"),
        ("create table t as select 1", 400, "only queries"),
        ("copy (select 1) to 'x.csv'", 400, "only queries"),
        (
            "set datafusion.execution.batch_size = 1",
            400,
            "only queries",
        ),
        ("select * from 'x.parquet'", 400, "x.parquet"),
    ] {
        let reply = ask(&address, "POST /api/v1/sql", query).await;
        assert_eq!(reply.status, status, "{query}: {}", reply.body);
        let parsed: serde_json::Value = serde_json::from_str(&reply.body).expect("JSON");
        assert_eq!(parsed["status"], "error");
        assert!(reply.body.contains(says), "{query}: {}", reply.body);
    }
    // One byte more than is read, so that none is left when the answer comes.
    let long = " ".repeat((2 << 20) + 1);
    let reply = ask(&address, "POST /api/v1/sql", &long).await;
    let parsed: serde_json::Value = serde_json::from_str(&reply.body).expect("JSON");
    assert_eq!((reply.status, &parsed["code"]), (413, &"too_long".into()));
    let twice = "select a.value, b.value from samples a join samples b using (time)";
    let reply = ask(&address, "POST /api/v1/sql", twice).await;
    assert!(
        reply.status == 400 && reply.body.contains("with AS"),
        "{}",
        reply.body
    );
    let reply = ask(&address, "POST /api/v1/sql\naccept: image/png", "select 1").await;
    assert!(
        reply.status == 400 && reply.body.contains("text/csv"),
        "{}",
        reply.body
    );
    let head = "POST /api/v1/sql\ncontent-type: application/json";
    let reply = ask(&address, head, "{\"sql\": \"select 1\"}").await;
    assert!(
        reply.status == 400 && reply.body.contains("query"),
        "{}",
        reply.body
    );
}

#[tokio::test]
async fn limits_hold() {
    let (engine, address) = serve(EngineSettings::default()).await;
    let head = "POST /api/v1/sql\ncontent-type: application/json";
    let count = format!("select count(*) from ({ENDLESS})");
    let body = serde_json::json!({"query": count, "timeout": 0.05});
    let reply = ask(&address, head, &body.to_string()).await;
    assert_eq!(reply.status, 504, "{}", reply.body);
    let sorted = format!("select * from ({ENDLESS}) order by other");
    let body = serde_json::json!({"query": sorted, "memory_bytes": 5_000_000});
    let reply = ask(&address, head, &body.to_string()).await;
    assert_eq!(reply.status, 413, "{}", reply.body);
    assert!(
        reply.body.contains("5000000 bytes of memory"),
        "{}",
        reply.body
    );
    let body =
        serde_json::json!({"query": "select * from generate_series(1, 100)", "max_rows": 99});
    let reply = ask(&address, head, &body.to_string()).await;
    assert_eq!(reply.status, 413, "{}", reply.body);
    until_idle(&engine).await;
}

#[tokio::test]
async fn a_function_gets_no_more_memory_than_its_query() {
    let (_engine, address) = serve(EngineSettings::default()).await;
    let huge = "20000000 + cast(value as int)";
    let some = "repeat('b', 20000 + cast(value as int))";
    for made in [
        format!("length(repeat('x', {huge}))"),
        format!("length(lpad('x', {huge}))"),
        format!("length(rpad('x', {huge}, 'yz'))"),
        format!("array_length(array_repeat(1, {huge}))"),
        format!("array_length(array_resize([1], {huge}, 2))"),
        format!("array_length(range({huge}))"),
        format!("array_length(generate_series(5, -({huge}), -1))"),
        format!("length(array_to_string(range(0, 8000), {some}))"),
        format!("length(list_join(array_repeat(cast(null as int), 8000), '-', {some}))"),
        format!("length(replace(repeat('a', 10000), 'a', {some}))"),
        format!("length(regexp_replace(repeat('a', 10000), 'a', {some}, 'g'))"),
    ] {
        let query = format!("select sum({made}) from generate_series(1, 2000) t(value)");
        let reply = ask(&address, "POST /api/v1/sql", &query).await;
        assert_eq!(reply.status, 413, "{made}: {}", reply.body);
        assert!(
            reply.body.contains("2147483648 bytes of memory"),
            "{}",
            reply.body
        );
    }
    let query = "select repeat('ab', value) as r, lpad('x', 3, 'é') as l, array_repeat('y', 2) as a, \
                 array_length(range(value, 0, -1)) as n, array_to_string([[1, null], [2]], '-', 'none') as j, \
                 replace('aba', 'a', 'xy') as p, regexp_replace('aba', '(a)', '<\\1>', 'g') as g from generate_series(2, 3) t(value)";
    let reply = ask(&address, "POST /api/v1/sql\naccept: text/csv", query).await;
    assert_eq!(
        reply.body,
        "r,l,a,n,j,p,g\n\
         abab,ééx,\"[\"\"y\"\",\"\"y\"\"]\",2,1-none-2,xybxy,<a>b<a>\n\
         ababab,ééx,\"[\"\"y\"\",\"\"y\"\"]\",3,1-none-2,xybxy,<a>b<a>\n"
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_keeps_no_slot_past_the_timeout() {
    let (engine, address) = serve(EngineSettings::default()).await;
    let body = serde_json::json!({"query": ENDLESS, "timeout": 1});
    let head = "POST /api/v1/sql\ncontent-type: application/json";
    let mut stream = send(&address, head, &body.to_string()).await;
    let mut some = [0; 1000];
    let read = timeout(PATIENCE, stream.read_exact(&mut some)).await;
    read.expect("in time").expect("rows");
    assert_eq!(engine.running(), 1);
    until_idle(&engine).await;
    // It still learns of it once it reads on.
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .expect("in time");
    let rest = String::from_utf8_lossy(&rest).into_owned();
    assert!(
        rest.contains("longer than 1 s"),
        "{}",
        &rest[rest.len() - 200..]
    );
}

#[tokio::test]
async fn what_a_body_leaves_out_its_address_may_say() {
    let (_engine, address) = serve(EngineSettings::default()).await;
    let json = "content-type: application/json";
    let form = "content-type: application/x-www-form-urlencoded";
    let two = "select * from generate_series(1, 2) t(n)";
    let (json_two, form_two) = (format!("{{\"query\": \"{two}\"}}"), format!("query={two}"));
    let form_long = format!("query=select count(*) from ({ENDLESS})");
    let form_first = "format=csv&query=select 1 as one";
    for (path, kind, body, status, says) in [
        ("?format=csv", json, &*json_two, 200, "n\n1\n2\n"),
        ("?format=csv", form, &form_two, 200, "n\n1\n2\n"),
        ("?format=csv", "x: y", two, 200, "n\n1\n2\n"),
        ("", form, form_first, 200, "one\n1\n"),
        (
            "?format=csv&q=select%201%20as%20one",
            "x: y",
            "",
            200,
            "one\n1\n",
        ),
        ("?max_rows=1", json, &json_two, 413, "more than 1 rows"),
        ("?timeout=0.05", form, &form_long, 504, "longer than 0.05 s"),
        (
            "?format=json",
            form,
            form_first,
            400,
            "`format` is one thing",
        ),
        (
            "?q=select%201",
            json,
            &json_two,
            400,
            "`query` is one thing",
        ),
        ("?tenant=a", "x-tenant: b", two, 400, "another tenant"),
        ("", "x-tenant: münchen", two, 400, "not plain ASCII"),
    ] {
        let head = format!("POST /api/v1/sql{path}\n{kind}");
        let reply = ask(&address, &head, body).await;
        let case = format!("{head} {body}: {}", reply.body);
        assert_eq!(reply.status, status, "{case}");
        assert!(reply.body.contains(says), "{case}");
    }
}

#[tokio::test]
async fn a_tenant_by_any_name_gets_its_own_rows() {
    let (_engine, address) = serve(EngineSettings::default()).await;
    let query = "select count(*) as n from samples";
    for (path, count) in [("", 3), ("?tenant=default", 3), ("?tenant=m%C3%BCnchen", 0)] {
        let reply = ask(&address, &format!("POST /api/v1/sql{path}"), query).await;
        assert_eq!(reply.body, format!("[{{\"n\":{count}}}]\n"), "{path}");
    }
}

#[tokio::test]
async fn lists_of_tables_hold_the_metrics_whatever_stands_before_them() {
    let (_engine, address) = serve(EngineSettings::default()).await;
    for query in [
        "show tables",
        "-- which are there?\nshow tables",
        "/* all */ show tables",
        "select table_name from INFORMATION_SCHEMA.tables",
    ] {
        let reply = ask(&address, "POST /api/v1/sql", query).await;
        assert!(reply.body.contains("cpu.load"), "{query}: {}", reply.body);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_whole() {
    let (engine, address) = serve(EngineSettings::default()).await;
    for accept in ["application/json", "application/x-ndjson", "text/csv"] {
        let body = serde_json::json!({"query": ENDLESS, "max_rows": 100_000});
        let head = format!("POST /api/v1/sql\ncontent-type: application/json\naccept: {accept}");
        let reply = ask(&address, &head, &body.to_string()).await;
        assert_eq!(reply.status, 200);
        assert!(!reply.whole, "{accept}: the last chunk must not come");
        let says =
            reply.body.trim_end().ends_with('}') && reply.body.contains("more than 100000 rows");
        assert_eq!(
            says,
            accept != "text/csv",
            "{accept}: {}",
            &reply.body[reply.body.len() - 200..]
        );
    }
    until_idle(&engine).await;
}

#[tokio::test]
async fn a_client_that_leaves_stops_its_query() {
    let settings = EngineSettings {
        concurrent: 1,
        ..EngineSettings::default()
    };
    let (engine, address) = serve(settings).await;
    // One that streams, and one that has not answered yet.
    for query in [
        ENDLESS.to_owned(),
        format!("select count(*) from ({ENDLESS})"),
    ] {
        let mut stream = send(&address, "POST /api/v1/sql", &query).await;
        if query == ENDLESS {
            let mut some = [0; 1000];
            timeout(PATIENCE, stream.read_exact(&mut some))
                .await
                .expect("in time")
                .expect("rows");
        } else {
            let started = async {
                while engine.running() == 0 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            timeout(PATIENCE, started).await.expect("the query starts");
        }
        assert_eq!(engine.running(), 1);
        let reply = ask(&address, "POST /api/v1/sql", "select 1").await;
        assert_eq!(reply.status, 503, "the one slot is taken: {}", reply.body);
        drop(stream);
        until_idle(&engine).await;
    }
    let reply = ask(&address, "POST /api/v1/sql", "select 1").await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}
