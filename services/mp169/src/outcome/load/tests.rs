//! Files as the DSP's programs write them.

use std::io::Cursor;
