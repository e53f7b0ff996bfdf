//! What can be bound to a statement?

/// A value with its type, so that a `NULL` has one too: PostgreSQL asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A `BIGINT`: every number of a table.
    I64(Option<i64>),
    /// An `INTEGER`: an argument of a function that takes no other.
    I32(i32),
    /// A `BOOLEAN`.
    Bool(Option<bool>),
    /// A `TEXT`.
    Text(Option<String>),
    /// A `BYTEA`.
    Bytes(Option<Vec<u8>>),
}

/// What a column holds. Tables have no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `BIGINT`
    Number,
    /// `BOOLEAN`
    Flag,
    /// `TEXT`
    Text,
    /// `BYTEA`
    Octets,
}

impl Kind {
    /// The one that a schema names so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "BIGINT" => Self::Number,
            "BOOLEAN" => Self::Flag,
            "TEXT" => Self::Text,
            "BYTEA" => Self::Octets,
            _ => return None,
        })
    }
}

/// `$from` and `Option<$from>` as the variant that `$make` makes.
macro_rules! from {
    ($($from:ty => $variant:ident($make:expr);)*) => {
        $(
            impl From<$from> for Value {
                fn from(value: $from) -> Self {
                    Self::$variant(Some($make(value)))
                }
            }

            impl From<Option<$from>> for Value {
                fn from(value: Option<$from>) -> Self {
                    Self::$variant(value.map($make))
                }
            }
        )*
    };
}

from! {
    i64 => I64(|value| value);
    bool => Bool(|value| value);
    String => Text(|value| value);
    &str => Text(str::to_owned);
    &String => Text(String::clone);
    Vec<u8> => Bytes(|value| value);
    &[u8] => Bytes(<[u8]>::to_vec);
    &Vec<u8> => Bytes(Vec::clone);
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::I32(value)
    }
}
