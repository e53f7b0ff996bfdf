//! Followed logs: serving snapshot and tail as a stream, and following one with a cursor.
