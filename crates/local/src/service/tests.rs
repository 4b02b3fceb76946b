//! What the services promise, by their own words.
