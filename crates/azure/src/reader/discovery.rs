//! Discovery (azure.md §2): the hosts that clients will talk to, as the registry itself tells them. Our token goes only to the
//! cloud's discovery endpoint, if it has one, or to a host of its registry suffix.

use serde_json::Value;
use sreg_domain::cloud::HttpsUrl;
use sreg_domain::desired::Desired;
use sreg_domain::seen::{Fact, Ignorance, IgnoranceKind};
use sreg_domain::{CallFailure, EndpointGroup, Fqdn};
use url::Url;

use super::Look;
use super::addresses::host_of;
use crate::arm::{Call, Leaving};

/// Hosts that discovery returns, each once. Never an empty list: that would prove nothing.
pub(super) async fn hosts(look: &Look<'_>, desired: &Desired, discovery_url: Option<&str>) -> Fact<Vec<Fqdn>> {
    let unknown = |kind, message: &str| {
        let attempt = format!("discover {}", desired.registry);
        Fact::Unknown(Ignorance {
            attempt,
            kind,
            message: message.to_owned(),
            code: None,
            correlation_id: None,
            retry_after: None,
        })
    };
    let Some(discovery_url) = discovery_url else {
        return unknown(IgnoranceKind::Settling, "the registry has no discoveryUrl yet");
    };
    let cloud = &look.inner.settings.cloud;
    let Some(url) = destination(
        discovery_url,
        cloud.machine_learning.discovery_endpoint.as_ref(),
        cloud.suffix(EndpointGroup::AmlRegistry),
    ) else {
        return unknown(
            IgnoranceKind::Refused,
            "its discoveryUrl is no https URL below the cloud's registry suffix",
        );
    };
    let answer = match ask(look, desired, url).await {
        Ok(answer) => answer,
        Err(error) => return Fact::Unknown(error.into_ignorance()),
    };
    match hosts_of(&answer) {
        Some(hosts) if !hosts.is_empty() => Fact::Seen(hosts),
        Some(_) => unknown(IgnoranceKind::Nonsense, "the answer names no host"),
        None => unknown(
            IgnoranceKind::Nonsense,
            "the answer names a region without a host, or a host that is none",
        ),
    }
}

/// First with an ARM token, as the SDK does; on 401 with one for Azure ML.
async fn ask(look: &Look<'_>, desired: &Desired, url: Url) -> Result<Value, CallFailure> {
    let call = Call::get(
        url,
        &format!("discover {}", desired.registry),
        None,
        Some(&format!("{}/read", desired.registry.kind())),
    );
    match look.send(call.clone(), look.arm().scope()).await {
        Err(error) if error.status == Some(401) => {
            let scope = look.inner.settings.cloud.machine_learning.audience.scope();
            look.send(call, &scope).await?.object()
        }
        other => other?.object(),
    }
}

/// Where to ask: the registry's URL, moved to the cloud's discovery endpoint if there is one.
fn destination(text: &str, endpoint: Option<&HttpsUrl>, suffix: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    if !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    if let Some(endpoint) = endpoint.map(HttpsUrl::as_url) {
        url.set_scheme(endpoint.scheme()).ok()?;
        url.set_host(endpoint.host_str()).ok()?;
        url.set_port(endpoint.port()).ok()?;
        return Some(url);
    }
    let host: Fqdn = url.host_str()?.parse().ok()?;
    (url.scheme() == "https" && host.is_below(suffix)).then_some(url)
}

/// `registryFqdns.*.uri` and `primaryRegionResourceProviderUri`; `None` where one of them is no host, or a region names none.
fn hosts_of(answer: &Value) -> Option<Vec<Fqdn>> {
    let mut texts: Vec<&str> = Vec::new();
    if let Some(Value::Object(regions)) = answer.get("registryFqdns") {
        for region in regions.values() {
            // The value's shape is unsettled (U5): an object with `uri`, or perhaps the text itself.
            // One without is a region whose host we would leave unproven.
            let uri = region.get("uri").unwrap_or(region);
            texts.push(uri.as_str()?);
            // Whatever else is a URL there is a host that some client may use.
            let others = region
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(key, _)| *key != "uri");
            let urls = others.filter_map(|(_, value)| value.as_str());
            texts.extend(urls.filter(|text| text.starts_with("https://")));
        }
    }
    let primary = answer.get("primaryRegionResourceProviderUri").and_then(Value::as_str);
    texts.extend(primary.filter(|t| !t.is_empty()));
    let mut hosts: Vec<Fqdn> = texts.into_iter().map(host_of).collect::<Option<_>>()?;
    hosts.sort();
    hosts.dedup();
    Some(hosts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn our_token_goes_only_to_the_clouds_endpoint_or_below_the_suffix() {
        let to = |text: &str, endpoint: Option<&str>| {
            let endpoint = endpoint.map(|e| HttpsUrl::try_from(e.to_owned()).unwrap());
            destination(text, endpoint.as_ref(), "api.azureml.ms").map(|u| u.to_string())
        };
        let path = "/registrymanagement/v1.0/registries/r/discovery";
        let good = format!("https://westeurope.api.azureml.ms{path}");
        assert_eq!(to(&good, None), Some(good.clone()));
        assert_eq!(
            to(&good, Some("https://127.0.0.1:8443")),
            Some(format!("https://127.0.0.1:8443{path}"))
        );
        for bad in [
            "http://westeurope.api.azureml.ms/x",
            "https://evil.example/x",
            "https://api.azureml.ms.evil.example/x",
            "https://evilapi.azureml.ms/x",
            "https://user@westeurope.api.azureml.ms/x",
            "https://10.0.0.1/x",
            "westeurope.api.azureml.ms",
            "",
        ] {
            assert_eq!(to(bad, None), None, "{bad}");
        }
    }

    #[test]
    fn hosts_are_read_leniently_but_never_left_out() {
        let names = |answer: &Value| hosts_of(answer).map(|h| h.iter().map(ToString::to_string).collect::<Vec<_>>());
        let answer = json!({"registryFqdns": {"westeurope": {"uri": "https://G.registry.westeurope.api.azureml.ms", "odd": 1, "note": "text"},
            "northeurope": {"uri": "g.registry.northeurope.api.azureml.ms"}},
            "primaryRegionResourceProviderUri": "https://g.registry.westeurope.api.azureml.ms/"});
        assert_eq!(
            names(&answer).unwrap(),
            [
                "g.registry.northeurope.api.azureml.ms",
                "g.registry.westeurope.api.azureml.ms"
            ]
        );
        assert_eq!(names(&json!({})).unwrap(), Vec::<String>::new());
        let primary = "https://g.registry.westeurope.api.azureml.ms/";
        for region in [
            json!({"uri": "not a host"}),
            json!({}),
            json!({"uri": ""}),
            json!({"uri": 1}),
            json!(null),
            json!(""),
        ] {
            let answer = json!({"registryFqdns": {"a": region}, "primaryRegionResourceProviderUri": primary});
            assert_eq!(names(&answer), None, "{region}");
        }
    }
}
