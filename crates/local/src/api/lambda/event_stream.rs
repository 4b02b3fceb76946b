//! AWS's event stream encoding, `application/vnd.amazon.eventstream`: what is sent in it, never
//! what it means.
//!
//! A message is its length, the length of its headers and a CRC-32 of the two; headers; a payload;
//! and a CRC-32 of all that stands before it. Numbers are big-endian.

/// The type of a body of messages.
pub(super) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// The two lengths and their checksum.
const PRELUDE: usize = 12;
/// What marks a header's value as text.
const TEXT: u8 = 7;

/// One event as a message.
pub(super) fn event(name: &str, content_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    for (key, value) in [(":event-type", name), (":content-type", content_type), (":message-type", "event")] {
        // Names and values are our own and short.
        headers.push(key.len() as u8);
        headers.extend_from_slice(key.as_bytes());
        headers.push(TEXT);
        headers.extend_from_slice(&(value.len() as u16).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let length = PRELUDE + headers.len() + payload.len() + 4;
    let mut message = Vec::with_capacity(length);
    message.extend_from_slice(&(length as u32).to_be_bytes());
    message.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message.extend_from_slice(&headers);
    message.extend_from_slice(payload);
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_amazon_specifies_it() {
        let message = event("PayloadChunk", "application/octet-stream", b"abc");
        let number = |at: usize| u32::from_be_bytes(message[at..at + 4].try_into().expect("four bytes"));
        assert_eq!(number(0) as usize, message.len());
        let headers = number(4) as usize;
        assert_eq!(number(8), crc32fast::hash(&message[..8]));
        let end = message.len() - 4;
        assert_eq!(number(end), crc32fast::hash(&message[..end]));
        assert_eq!(&message[PRELUDE + headers..end], b"abc");
        insta::assert_snapshot!(
            String::from_utf8_lossy(&message[PRELUDE..PRELUDE + headers]).escape_debug().to_string(),
            @r"\u{b}:event-type\u{7}\0\u{c}PayloadChunk\r:content-type\u{7}\0\u{18}application/octet-stream\r:message-type\u{7}\0\u{5}event"
        );
    }
}
