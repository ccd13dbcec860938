//! Which doors there are, and what is usual at each.

use tidegauge_decode::Format;

/// Which door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Json,
    RemoteWrite,
    Influx,
    Otlp,
}

impl Door {
    pub(crate) const ALL: [Self; 4] = [Self::Json, Self::RemoteWrite, Self::Influx, Self::Otlp];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::RemoteWrite => "remote_write",
            Self::Influx => "influx",
            Self::Otlp => "otlp",
        }
    }

    pub(crate) const fn format(self) -> Format {
        match self {
            Self::Json => Format::Json,
            Self::RemoteWrite => Format::RemoteWrite,
            Self::Influx => Format::Influx,
            Self::Otlp => Format::Otlp,
        }
    }

    /// What a body is compressed with if its sender does not say.
    pub(crate) const fn usual_encoding(self) -> &'static str {
        match self {
            Self::RemoteWrite => "snappy",
            Self::Json | Self::Influx | Self::Otlp => "identity",
        }
    }
}
