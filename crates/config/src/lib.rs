//! YAML to a located, validated specification; knows no concrete component.
