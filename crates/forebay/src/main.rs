//! The Forebay agent.
fn main() {}
