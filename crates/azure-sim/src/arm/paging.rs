//! Lists in pages, in one place: the page size is a switch, `$top` makes pages smaller where the service knows it, and
//! `nextLink` leads on from the last item told, so that an item which goes away between two pages does not hide another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::answer::{ArmError, JsonResponse, encoded};
use crate::json::text;
use crate::world::key;

/// The list that is asked for.
pub(crate) struct Asked<'a> {
    /// `https://host:port`, where `nextLink` leads.
    pub(crate) base: &'a str,
    /// The path as it came.
    pub(crate) path: &'a str,
    /// All query parameters.
    pub(crate) query: &'a [(String, String)],
    /// Provider type in lower case.
    pub(crate) kind: &'a str,
}

/// Services whose lists know `$top`: ARM's own, policies and private DNS. The others choose their pages themselves.
fn knows_top(kind: &str) -> bool {
    [
        "microsoft.resources/",
        "microsoft.authorization/policy",
        "microsoft.network/privatednszones",
    ]
    .iter()
    .any(|known| kind.starts_with(known))
}

/// One page of a list; other answers as they are.
///
/// # Errors
/// 400 for a `$top` that is no number above zero, or a `$skipToken` that nobody gave out.
pub(crate) fn page(mut answer: JsonResponse, asked: &Asked<'_>, size: u32) -> Result<JsonResponse, ArmError> {
    let parameter = |name: &str| {
        asked
            .query
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    };
    let top = match parameter("$top").filter(|_| knows_top(asked.kind)) {
        None => u32::MAX,
        Some(top) => top
            .parse()
            .ok()
            .filter(|t| *t > 0)
            .ok_or_else(|| invalid("$top", top))?,
    };
    let after = parameter("$skipToken").map(last_told).transpose()?;
    let Some(items) = answer
        .body
        .as_mut()
        .and_then(|b| b.get_mut("value"))
        .and_then(Value::as_array_mut)
    else {
        return Ok(answer);
    };
    if let Some(last) = after {
        let at = items.iter().position(|i| name_of(i) == last);
        // The last one told is gone: what comes after it in order goes on.
        let from = at.map_or_else(|| items.iter().take_while(|i| name_of(i) < last).count(), |at| at + 1);
        items.drain(..from);
    }
    let size = usize::try_from(size.max(1).min(top)).unwrap_or(usize::MAX);
    if items.len() <= size {
        return Ok(answer);
    }
    items.truncate(size);
    let last = items.last().map(name_of).unwrap_or_default();
    if let Some(body) = answer.body.as_mut() {
        body["nextLink"] = json!(next_link(asked, &last));
    }
    Ok(answer)
}

/// By what an item is told apart in a list.
fn name_of(item: &Value) -> String {
    let named = ["/id", "/namespace", "/name"].iter().map(|pointer| text(item, pointer));
    key(named.into_iter().find(|name| !name.is_empty()).unwrap_or(""))
}

fn last_told(token: &str) -> Result<String, ArmError> {
    let read = URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    read.ok_or_else(|| invalid("$skipToken", token))
}

fn invalid(name: &str, value: &str) -> ArmError {
    let said = format!("The value '{value}' of the query parameter '{name}' is not valid.");
    ArmError::new(400, "InvalidQueryParameterValue", said)
}

fn next_link(asked: &Asked<'_>, last: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in asked
        .query
        .iter()
        .filter(|(n, _)| !n.eq_ignore_ascii_case("$skipToken"))
    {
        query.append_pair(name, value);
    }
    query.append_pair("$skipToken", &URL_SAFE_NO_PAD.encode(last));
    let path: String = asked.path.split('/').map(encoded).collect::<Vec<_>>().join("/");
    format!("{}{path}?{}", asked.base, query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> JsonResponse {
        JsonResponse::list(["/a", "/b", "/c", "/d", "/e"].map(|id| json!({ "id": id })).to_vec())
    }

    fn told(answer: &JsonResponse) -> Vec<String> {
        let items = answer.body.as_ref().unwrap()["value"].as_array().unwrap();
        items.iter().map(name_of).collect()
    }

    fn next(answer: &JsonResponse) -> Option<Vec<(String, String)>> {
        let link = answer.body.as_ref().unwrap().get("nextLink")?.as_str()?;
        Some(url::Url::parse(link).unwrap().query_pairs().into_owned().collect())
    }

    fn read(kind: &str, query: &[(String, String)], size: u32, from: JsonResponse) -> Result<JsonResponse, ArmError> {
        let asked = Asked {
            base: "https://arm",
            path: "/münchen/x",
            query,
            kind,
        };
        page(from, &asked, size)
    }

    #[test]
    fn every_item_is_told_once_though_one_goes_away_between_two_pages() {
        let kind = "microsoft.network/privatednszones";
        let mut query = vec![("api-version".to_owned(), "1".to_owned())];
        let mut all = Vec::new();
        for _ in 0..3 {
            let mut left = list();
            if all.len() == 2 {
                left.body.as_mut().unwrap()["value"].as_array_mut().unwrap().remove(1);
            }
            let answer = read(kind, &query, 2, left).unwrap();
            all.extend(told(&answer));
            let Some(next) = next(&answer) else { break };
            assert_eq!(next.iter().filter(|(n, _)| n == "$skipToken").count(), 1);
            query = next;
        }
        assert_eq!(all, ["/a", "/b", "/c", "/d", "/e"]);
    }

    #[test]
    fn top_makes_pages_smaller_only_where_the_service_knows_it() {
        let query = [("$top".to_owned(), "1".to_owned())];
        assert_eq!(
            told(&read("microsoft.resources/resources", &query, 100, list()).unwrap()),
            ["/a"]
        );
        assert_eq!(
            told(&read("microsoft.network/virtualnetworks", &query, 100, list()).unwrap()).len(),
            5
        );
    }

    #[test]
    fn nonsense_is_refused() {
        let kind = "microsoft.resources/resources";
        for (name, value) in [("$top", "0"), ("$top", "x"), ("$skipToken", "%%")] {
            let query = [(name.to_owned(), value.to_owned())];
            assert_eq!(read(kind, &query, 9, list()).unwrap_err().status, 400, "{name}={value}");
        }
    }
}
