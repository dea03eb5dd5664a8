//! A request as it came in: split once, read many times.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};

use crate::journal::Service;

/// A request, taken apart.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) path_and_query: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// `https://host:port` as the caller wrote it.
    pub(crate) base: String,
}

/// A path with `%xx` decoded; a slash that is written like that stays so, because it is part of a name.
fn decoded(path: &str) -> String {
    let kept = path.replace("%2F", "%252F").replace("%2f", "%252f");
    let pairs = format!("p={}", kept.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(pairs.as_bytes())
        .next()
        .map_or_else(|| path.to_owned(), |(_, value)| value.into_owned())
}

impl Received {
    /// The same place, only read.
    pub(crate) fn as_read(&self) -> Received {
        Received {
            method: Method::GET,
            path: self.path.clone(),
            path_and_query: self.path_and_query.clone(),
            query: self.query.clone(),
            headers: self.headers.clone(),
            body: Bytes::new(),
            base: self.base.clone(),
        }
    }

    pub(crate) fn new(request: Request<Bytes>) -> Received {
        let (parts, body) = request.into_parts();
        let host = parts.headers.get(http::header::HOST).and_then(|h| h.to_str().ok());
        let authority = parts
            .uri
            .authority()
            .map(|a| a.as_str())
            .or(host)
            .unwrap_or("management.azure.com");
        let query = parts.uri.query().unwrap_or("");
        Received {
            base: format!("https://{authority}"),
            path: decoded(parts.uri.path()),
            path_and_query: parts
                .uri
                .path_and_query()
                .map_or_else(String::new, |p| p.as_str().to_owned()),
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            method: parts.method,
            headers: parts.headers,
            body,
        }
    }

    /// Which service the path belongs to.
    pub(crate) fn service(&self) -> Service {
        let token =
            self.path.ends_with("/oauth2/v2.0/token") || self.path.ends_with("/.well-known/openid-configuration");
        match crate::discovery::registry_in(&self.path) {
            Some(_) => Service::Discovery,
            None if crate::log_analytics::customer_in(&self.path).is_some() => Service::LogAnalytics,
            None if token && !self.path.starts_with("/subscriptions/") => Service::Token,
            None => Service::Arm,
        }
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// The first value of a query parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}
