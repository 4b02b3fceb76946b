//! The configurations beside functions, asked over HTTP.
