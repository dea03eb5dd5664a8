//! One call before it is sent: method, URL, body, what it attempts in words, and whose budget it uses.

use azure_core::http::Method;
use serde_json::Value;
use sreg_domain::{ArmId, rights};
use url::Url;

use super::{Arm, Class, NotSent, Payer};

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Why `url` does not say what is meant: such a call is not sent.
    pub(crate) not_sent: Option<NotSent>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
    /// Such as `read /subscriptions/…`; what errors begin with.
    pub(crate) attempt: String,
    /// The action that its caller needs the right to, as [`rights::RIGHTS`] declares it; `None`: none of its own, such as a next
    /// page or the state of an operation. Deletions and writes name theirs by kind and verb.
    pub(crate) action: Option<String>,
    /// The scope whose items it lists: whoever may not read all of them there may get a list that is short, and no refusal.
    pub(crate) listed: Option<ArmId>,
    /// Whose budget it uses; `None` outside ARM.
    pub(crate) budget: Option<(String, Class)>,
    /// For whom it is made: budgets are shared between namespaces.
    pub(crate) payer: Payer,
    /// Its budget was taken before, so that nothing is waited for between a read and this write.
    pub(crate) prepaid: bool,
    /// A 2xx body may carry `error` and still be an answer: polls, and partial results of Log Analytics.
    pub(crate) error_is_an_answer: bool,
}

impl Call {
    /// A GET of any URL, with the action that it needs.
    pub(crate) fn get(url: Url, attempt: &str, budget: Option<(String, Class)>, action: Option<&str>) -> Call {
        Call {
            method: Method::Get,
            url,
            not_sent: None,
            headers: Vec::new(),
            body: None,
            attempt: attempt.to_owned(),
            action: action.map(str::to_owned),
            listed: None,
            budget,
            payer: Payer::default(),
            prepaid: false,
            error_is_an_answer: false,
        }
    }

    /// A GET of a path below ARM, which is of the provider type `kind`.
    pub(crate) fn at(
        arm: &Arm,
        (path, kind): (&str, &str),
        attempt: &str,
        budget: (&str, Class),
        action: &str,
    ) -> Call {
        let (url, not_sent) = match arm.url(path, kind) {
            Ok(url) => (url, None),
            Err(why) => (arm.endpoint().clone(), Some(why)),
        };
        let budget = (budget.0.to_owned(), budget.1);
        Call {
            not_sent,
            ..Call::get(url, attempt, Some(budget), Some(action))
        }
    }

    /// A call about a resource, with the verb of its action.
    fn about(arm: &Arm, id: &ArmId, attempt: &str, class: Class, verb: &str) -> Call {
        let kind = id.kind();
        let budget = (id.subscription(), class);
        Call::at(arm, (id.as_str(), &kind), attempt, budget, &format!("{kind}/{verb}"))
    }

    /// A GET of a resource.
    pub(crate) fn read(arm: &Arm, id: &ArmId) -> Call {
        Call::about(arm, id, &format!("read {id}"), Class::Read, "read")
    }

    /// A GET of the children of a resource, or of a provider's resources in a scope: `below` is such as `subnets` or
    /// `providers/Microsoft.Network/privateEndpoints`.
    pub(crate) fn list(arm: &Arm, scope: &ArmId, below: &str) -> Call {
        let kind = match below.strip_prefix("providers/") {
            Some(kind) => kind.to_ascii_lowercase(),
            None => format!("{}/{}", scope.kind(), below.to_ascii_lowercase()),
        };
        Call {
            listed: Some(scope.clone()),
            ..Call::at(
                arm,
                (&format!("{scope}/{below}"), &kind),
                &format!("list {below} of {scope}"),
                (scope.subscription(), Class::Read),
                &format!("{kind}/read"),
            )
        }
    }

    /// A write of a resource.
    pub(crate) fn write(arm: &Arm, method: Method, id: &ArmId, body: Value, attempt: String) -> Call {
        Call {
            method,
            body: Some(body),
            ..Call::about(arm, id, &attempt, Class::Write, "write")
        }
    }

    /// A deletion of a resource.
    pub(crate) fn delete(arm: &Arm, id: &ArmId) -> Call {
        Call {
            method: Method::Delete,
            ..Call::about(arm, id, &format!("delete {id}"), Class::Delete, "delete")
        }
    }

    /// The same with one more parameter; its value is escaped.
    pub(crate) fn query(mut self, name: &str, value: &str) -> Call {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// The same with one more header.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Call {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The same, made for them.
    pub(crate) fn on_behalf_of(mut self, payer: &Payer) -> Call {
        self.payer = payer.clone();
        self
    }

    /// The same, its budget taken by [`Arm::reserve_write`].
    pub(crate) fn prepaid(mut self) -> Call {
        self.prepaid = true;
        self
    }

    /// The same, taking `error` in a 2xx body for an answer.
    pub(crate) fn tolerating_error_bodies(mut self) -> Call {
        self.error_is_an_answer = true;
        self
    }

    /// Its action is in the table from which everybody's roles are made.
    pub(crate) fn is_declared(&self) -> bool {
        self.action.as_deref().is_none_or(rights::is_declared)
    }

    /// Whether it may change something.
    pub(crate) fn changes(&self) -> bool {
        self.method != Method::Get && self.budget.is_some()
    }
}
