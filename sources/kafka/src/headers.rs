//! What a record's headers say. Names count in any case, as HTTP has them and many clients write
//! them; of several headers of one name the last counts.

/// Our headers of one record, as bytes: Kafka knows no text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers<'b> {
    pub(crate) tenant: Option<&'b [u8]>,
    pub(crate) content_type: Option<&'b [u8]>,
    pub(crate) content_encoding: Option<&'b [u8]>,
    /// The gateway's: with the value `delta`, all samples of the record are deltas.
    pub(crate) temporality: Option<&'b [u8]>,
}

impl<'b> Headers<'b> {
    /// Picks ours out of all, in one pass; most foreign names differ by their length already.
    pub(crate) fn of(all: impl Iterator<Item = (&'b [u8], Option<&'b [u8]>)>) -> Self {
        let mut ours = Self::default();
        for (name, value) in all {
            let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
            let place = if is(b"tenant") {
                &mut ours.tenant
            } else if is(b"content-type") {
                &mut ours.content_type
            } else if is(b"content-encoding") {
                &mut ours.content_encoding
            } else if is(b"tidegauge-temporality") {
                &mut ours.temporality
            } else {
                continue;
            };
            *place = value;
        }
        ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_in_any_case_and_the_last_of_each_counts() {
        let ours = Headers::of(
            [
                (&b"Tenant"[..], Some(&b"a"[..])),
                (b"trace", Some(b"x")),
                (b"Content-Type", Some(b"application/json")),
                (b"CONTENT-ENCODING", Some(b"gzip")),
                (b"content-encoding", None),
                (b"TENANT", Some(b"b")),
            ]
            .into_iter(),
        );
        let expected = Headers {
            tenant: Some(b"b"),
            content_type: Some(b"application/json"),
            ..Headers::default()
        };
        assert_eq!(ours, expected);
    }
}
