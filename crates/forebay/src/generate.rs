//! `forebay generate`: the built-in client.

use crate::cli::GenerateArgs;
use forebay_generator::LiveOptions;

pub fn generate(args: GenerateArgs) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let options = LiveOptions {
        endpoint: args.endpoint,
        rate: args.rate,
        duration: args.duration,
        seed: args.seed,
        compression: args.compression,
    };
    let stop = async {
        // Without signals there is nothing to wait for: the run then ends with its duration.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    runtime.block_on(forebay_generator::run(options, stop)).map(drop).map_err(|error| error.to_string())
}
