//! Record accessors.
