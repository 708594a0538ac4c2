//! The one list of what exists.

use forebay_topology::Components;

/// Every component type of this build.
pub const COMPONENTS: Components = Components {
    receivers: &[&forebay_receiver_otlp::FACTORY],
    processors: &[&forebay_processor_batch::FACTORY, &forebay_processor_tail_sampling::FACTORY],
    exporters: &[
        &forebay_exporter_debug::DEBUG,
        &forebay_exporter_debug::NOP,
        &forebay_exporter_file::FACTORY,
        &forebay_exporter_otlp::GRPC,
        &forebay_exporter_otlp::HTTP,
        &forebay_exporter_zipkin::FACTORY,
    ],
    extensions: &[&forebay_extension_health_check::FACTORY],
};
