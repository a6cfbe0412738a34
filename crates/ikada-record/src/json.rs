//! Entries as JSON.
