use super::{EndpointError, ListenEndpoint, Transport};
use proptest::prelude::*;

fn endpoint(text: &str) -> ListenEndpoint {
    text.parse().unwrap()
}

#[test]
fn addresses_names_and_every_address_are_read() {
    for (text, host, port) in [
        ("localhost:4317", "localhost", 4317),
        ("0.0.0.0:4317", "0.0.0.0", 4317),
        ("[::]:4317", "::", 4317),
        ("[::1]:0", "::1", 0),
        (":4317", "", 4317),
        ("otel-agent.svc_1:65535", "otel-agent.svc_1", 65535),
    ] {
        let read = endpoint(text);
        assert_eq!((read.host.as_str(), read.port), (host, port), "{text}");
        assert_eq!(read.to_string(), text);
    }
}

#[test]
fn what_is_no_address_says_what_to_write() {
    let error = |text: &str| text.parse::<ListenEndpoint>().unwrap_err();
    assert_eq!(error(""), EndpointError::Empty);
    assert!(matches!(error("unix:///run/otlp.sock"), EndpointError::Unix(_)));
    assert!(matches!(error("/run/otlp.sock"), EndpointError::Unix(_)));
    assert!(matches!(error("http://localhost:4318"), EndpointError::Scheme(_)));
    assert!(matches!(error("localhost"), EndpointError::NoPort(_)));
    assert!(matches!(error("[::1]"), EndpointError::NoPort(_)));
    assert!(matches!(error("localhost:otlp"), EndpointError::Port(_)));
    assert!(matches!(error("localhost:70000"), EndpointError::Port(_)));
    assert!(matches!(error("localhost:+1"), EndpointError::Port(_)));
    assert!(matches!(error("::1:4317"), EndpointError::Host(_)));
    assert!(matches!(error("a b:4317"), EndpointError::Host(_)));
}

#[tokio::test]
async fn a_busy_port_names_the_endpoint_and_the_way_out() {
    let first = endpoint("127.0.0.1:0").listen(Transport::Tcp).await.unwrap();
    let busy = endpoint(&first.local_addr().unwrap().to_string());
    let error = busy.listen(Transport::Tcp).await.unwrap_err().to_string();
    assert!(error.contains(&busy.to_string()) && error.contains("free port"), "{error}");
}

#[tokio::test]
async fn a_name_is_listened_on_by_ipv4() {
    let listener = endpoint("localhost:0").listen(Transport::Tcp).await.unwrap();
    assert!(listener.local_addr().unwrap().is_ipv4());
    let every = endpoint(":0").listen(Transport::Tcp4).await.unwrap();
    assert!(every.local_addr().unwrap().is_ipv4());
}

#[tokio::test]
async fn an_address_of_another_machine_is_said() {
    let error = endpoint("192.0.2.1:0").listen(Transport::Tcp).await.unwrap_err().to_string();
    assert!(error.contains("no such address"), "{error}");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        if let Ok(read) = text.parse::<ListenEndpoint>() {
            prop_assert_eq!(read.to_string().parse::<ListenEndpoint>(), Ok(read));
        }
    }
}
