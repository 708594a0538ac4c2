//! `forebay explain`: asks a running agent why a trace was kept or dropped, or what it waits for.

mod http;
mod tree;

use crate::cli::ExplainArgs;
use crate::inspect::print;
use serde_json::Value;

pub fn explain(args: &ExplainArgs) -> Result<(), String> {
    let id = args.trace_id.trim();
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("`{}` is no trace id: one is 32 hexadecimal digits", tree::clean(id)));
    }
    let answer = http::get(&args.endpoint, &format!("/explain/{id}"))?;
    if args.json {
        print(&format!("{}\n", answer.body.trim_end()))?;
    }
    let parsed: Option<Value> = serde_json::from_str(&answer.body).ok();
    match (answer.status, parsed) {
        (200, Some(_)) if args.json => Ok(()),
        (200, Some(explanation)) => print(&tree::draw(&explanation)),
        (_, Some(said)) if said["error"].is_string() => Err(tree::refusal(&said)),
        (status, _) => Err(format!(
            "{} answered {status} and nothing that an agent says; --endpoint must name the admin endpoint of an agent",
            args.endpoint
        )),
    }
}

#[cfg(test)]
mod tests;
