//! Lists: page after page, each reduced to what is kept of it before the next one is asked for, and bounded as a whole. A list
//! that is too long is an error of its own: cut off, it would be taken for all there is.

use std::collections::BTreeSet;

use serde_json::Value;
use sreg_domain::CallFailure;
use tokio::time::Instant;

use super::{Arm, ArmResponse, Call, error};

/// Longest list that is followed, in pages: of the smallest pages that Azure makes, a hundred items, ten thousand items.
const MOST_PAGES: usize = 100;
/// Most items of a list. The longest that Azure's own limits allow among those that we read are the record sets of one private DNS
/// zone, 25,000; links of a zone and zones of a subscription end at a thousand.
const MOST_ITEMS: usize = 30_000;
/// Most bytes of a list, all pages together: those 25,000 record sets are about 15 MB. Lists of one visit are read side by side, and
/// the operator's container has 256 MiB.
const MOST_BYTES: usize = 32 << 20;

/// How much of a list was read.
#[derive(Default)]
struct Read {
    pages: usize,
    items: usize,
    bytes: usize,
}

impl Read {
    /// Counts one page; says what there is too much of.
    fn take(&mut self, items: usize, bytes: usize) -> Result<(), String> {
        self.pages += 1;
        self.items += items;
        self.bytes += bytes;
        if self.items > MOST_ITEMS {
            Err(format!("more than {MOST_ITEMS} items"))
        } else if self.bytes > MOST_BYTES {
            Err(format!("more than {} MiB", MOST_BYTES >> 20))
        } else {
            Ok(())
        }
    }
}

impl Arm {
    /// Reads all pages of a list, and keeps of each item what `keep` makes of it.
    ///
    /// # Errors
    /// A page cannot be read or is none, or the list is longer than any that Azure should have: nothing of it is told then.
    pub(crate) async fn list<T>(
        &self,
        first: Call,
        deadline: Instant,
        mut keep: impl FnMut(Value) -> Option<T> + Send,
    ) -> Result<Vec<T>, CallFailure> {
        let (attempt, budget, payer) = (first.attempt.clone(), first.budget.clone(), first.payer.clone());
        let (mut kept, mut visited, mut read, mut call) = (Vec::new(), BTreeSet::new(), Read::default(), first);
        loop {
            visited.insert(call.url.clone());
            let mut answer = self.send(call, deadline).await?;
            let page = page(&mut answer)?;
            read.take(page.len(), answer.length)
                .map_err(|what| error::too_long(&attempt, &what))?;
            kept.extend(page.into_iter().filter_map(&mut keep));
            let Some(next) = next_link(&answer) else {
                return Ok(kept);
            };
            let Some(url) = self.own_url(next) else {
                return Err(answer.nonsense("the next page is on another host than ARM"));
            };
            if visited.contains(&url) {
                return Err(answer.nonsense("the list does not end"));
            }
            if read.pages >= MOST_PAGES {
                return Err(error::too_long(&attempt, &format!("more than {MOST_PAGES} pages")));
            }
            call = Call::get(url, &attempt, budget.clone(), None).on_behalf_of(&payer);
        }
    }
}

/// The items of a page, taken out of the answer.
fn page(answer: &mut ArmResponse) -> Result<Vec<Value>, CallFailure> {
    match answer.body.as_mut().and_then(|body| body.get_mut("value")) {
        Some(Value::Array(items)) => Ok(std::mem::take(items)),
        Some(_) | None => Err(answer.nonsense("the page has no list `value`")),
    }
}

fn next_link(answer: &ArmResponse) -> Option<&str> {
    let next = answer.body.as_ref()?.get("nextLink")?.as_str()?;
    (!next.is_empty()).then_some(next)
}

#[cfg(test)]
mod tests {
    use sreg_domain::Cause;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;
    use azure_core::http::headers::Headers;
    use azure_core::http::{AsyncRawResponse, HttpClient, Request, StatusCode};
    use secrecy::SecretString;
    use serde_json::json;
    use sreg_domain::seen::IgnoranceKind;

    use super::*;
    use crate::arm::Payer;
    use crate::identity::Tokens;
    use crate::settings::{AzureSettings, CredentialKind, Lane};

    /// A list of so many pages of so many items, each so long; the last page says so.
    #[derive(Debug)]
    struct Pages {
        pages: usize,
        items: usize,
        length: usize,
        asked: AtomicUsize,
    }

    #[async_trait]
    impl HttpClient for Pages {
        async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
            if request.url().path().ends_with("/token") {
                let token = r#"{"access_token":"opaque","expires_in":3600}"#;
                return Ok(AsyncRawResponse::from_bytes(StatusCode::Ok, Headers::new(), token));
            }
            let page = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            let item = json!({"name": "x".repeat(self.length), "page": page});
            let mut body = json!({"value": vec![item; self.items]});
            if page < self.pages {
                body["nextLink"] = json!(format!("https://management.azure.com/next?page={page}"));
            }
            Ok(AsyncRawResponse::from_bytes(
                StatusCode::Ok,
                Headers::new(),
                body.to_string(),
            ))
        }
    }

    async fn list(pages: usize, items: usize, length: usize) -> (Result<Vec<u64>, CallFailure>, usize) {
        rustls::crypto::ring::default_provider().install_default().ok();
        let transport = Arc::new(Pages {
            pages,
            items,
            length,
            asked: AtomicUsize::new(0),
        });
        let secret = CredentialKind::ClientSecret(SecretString::from("x"));
        let cloud = Arc::new(sreg_domain::BuiltInCloud::AzurePublic.cloud().unwrap());
        let mut settings = AzureSettings::new(cloud, "0a000000-0000-4000-8000-0000000000ff", secret);
        settings.client_id = Some("c".to_owned());
        let tokens = Tokens::new(&settings, transport.clone()).unwrap();
        let arm = Arm::new(&settings, tokens, transport.clone());
        let scope = "/subscriptions/s/resourceGroups/g".parse().unwrap();
        let call = Call::list(&arm, &scope, "providers/Microsoft.Network/privateDnsZones")
            .on_behalf_of(&Payer::new("ml", Lane::Ordinary));
        let deadline = Instant::now() + Duration::from_secs(60);
        let kept = arm.list(call, deadline, |item| item["page"].as_u64()).await;
        (kept, transport.asked.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn a_long_list_is_read_to_its_end_and_only_what_is_kept_stays() {
        let (kept, asked) = list(30, MOST_ITEMS / 30, 0).await;
        let kept = kept.unwrap();
        assert_eq!((kept.len(), asked), (MOST_ITEMS, 30));
        assert_eq!((kept.first(), kept.last()), (Some(&1), Some(&30)));
        assert_eq!(list(MOST_PAGES, 1, 0).await.0.unwrap().len(), MOST_PAGES);
    }

    #[tokio::test]
    async fn a_list_that_is_too_long_is_an_error_and_never_the_part_that_was_read() {
        let bytes = MOST_BYTES / 7;
        for (pages, items, length, what, most) in [
            (32, MOST_ITEMS / 30, 0, "more than 30000 items", 31),
            (100, 1, bytes, "more than 32 MiB", 7),
            (1000, 1, 0, "more than 100 pages", 100),
        ] {
            let (refused, asked) = list(pages, items, length).await;
            let error = refused.unwrap_err();
            assert_eq!(error.cause, Cause::TooLong, "{error}");
            assert_eq!(asked, most, "{what}");
            let told = error.to_string();
            assert!(
                told.starts_with(
                    "list providers/Microsoft.Network/privateDnsZones of /subscriptions/s/resourceGroups/g: "
                ) && told.contains(what)
                    && told.contains("nothing of it is believed"),
                "{told}"
            );
            assert_eq!(error.ignorance().kind, IgnoranceKind::Refused);
        }
    }
}
