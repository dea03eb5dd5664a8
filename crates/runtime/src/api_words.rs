//! What the API server said, for a line of the log: its own sentence and reason where there are any. The client library's text adds the whole
//! status object as Rust prints it, which helps nobody.

use kube::core::Status;
use kube::runtime::watcher;
use kube_lease_manager::LeaseManagerError;

/// Why a call failed.
pub(crate) fn of(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        of_status(status)
    } else {
        error.to_string()
    }
}

/// Why a watch was interrupted.
pub(crate) fn of_watch(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => of(cause),
        watcher::Error::WatchError(status) => of_status(status),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}

/// Why a lease was not renewed, taken or released.
pub(crate) fn of_lease(error: &LeaseManagerError) -> String {
    if let LeaseManagerError::KubeError(cause) = error {
        of(cause)
    } else {
        error.to_string()
    }
}

fn of_status(status: &Status) -> String {
    let Status {
        message, reason, code, ..
    } = status;
    match (message.is_empty(), reason.is_empty()) {
        (false, false) => format!("{message} ({code} {reason})"),
        (false, true) => format!("{message} ({code})"),
        (true, _) => format!("{code} {reason}").trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> Box<Status> {
        let status = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 429,
            "message": "storage is (re)initializing", "reason": "TooManyRequests",
            "details": {"retryAfterSeconds": 1}});
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn the_api_servers_sentence_is_told_and_nothing_of_how_rust_prints_it() {
        let expected = "storage is (re)initializing (429 TooManyRequests)";
        let api = || kube::Error::Api(busy());
        assert_eq!(of(&api()), expected);
        assert_eq!(of_watch(&watcher::Error::InitialListFailed(api())), expected);
        assert_eq!(of_watch(&watcher::Error::WatchError(busy())), expected);
        assert_eq!(of_lease(&LeaseManagerError::KubeError(api())), expected);
    }

    #[test]
    fn a_status_without_a_sentence_is_told_by_its_code() {
        let status = Status {
            code: 502,
            ..Status::default()
        };
        assert_eq!(of(&kube::Error::Api(Box::new(status))), "502");
    }
}
