//! The machine under random histories.
