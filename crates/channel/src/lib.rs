//! Bounded channels, in bytes and items, between Forebay's stages.
