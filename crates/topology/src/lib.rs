//! From a specification to a running graph: start, fan-out, drain. Names no concrete component.
