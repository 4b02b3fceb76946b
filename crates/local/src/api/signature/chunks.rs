//! Uploads whose pieces are signed one by one (`STREAMING-AWS4-HMAC-SHA256-PAYLOAD`, with or
//! without `-TRAILER`): every piece's signature covers the one before.
//!
//! Looks at bytes that pass and keeps none; taking the encoding off is S3's work.

use layercake_core::hash::{Hasher, Sha256};

use super::{
    Refusal,
    refusal::Mismatch,
    seal::{SigningScope, hex, hmac, is_hmac},
};

/// What a chain of signatures begins with.
pub(super) struct Chain {
    /// The access key's id, for refusals.
    pub(super) id: String,
    /// The signing key.
    pub(super) key: [u8; 32],
    /// `20261122T143500Z`.
    pub(super) time: String,
    /// Date, region and service.
    pub(super) scope: SigningScope,
    /// The signature before; at first the request's own.
    pub(super) previous: String,
    /// Whether checksums follow behind the last piece, with a signature of their own.
    pub(super) has_trailer: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length,
    Data(u64),
    AfterData,
    Trailer,
    End,
}

/// Verifies pieces as they pass.
pub(super) struct ChunkVerifier {
    chain: Chain,
    state: State,
    line: Vec<u8>,
    hasher: Hasher,
    /// The signature that the piece at hand says it has.
    claimed: String,
    /// `name:value\n` for every trailer so far.
    trailers: String,
}

/// A line is a length and a signature, or a checksum.
const LONGEST_LINE: usize = 8 << 10;

impl ChunkVerifier {
    pub(super) fn new(chain: Chain) -> Self {
        Self {
            chain,
            state: State::Length,
            line: Vec::new(),
            hasher: Sha256::hasher(),
            claimed: String::new(),
            trailers: String::new(),
        }
    }

    /// Looks at the next bytes.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            match self.state {
                State::Data(left) => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (data, rest) = bytes.split_at(count);
                    self.hasher.update(data);
                    bytes = rest;
                    self.state = match left - count as u64 {
                        0 => {
                            self.end_of_piece()?;
                            State::AfterData
                        }
                        left => State::Data(left),
                    };
                }
                State::End => return Err(broken("bytes behind the end of the upload")),
                _ => {
                    let end = bytes.iter().position(|&byte| byte == b'\n');
                    let (taken, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
                    self.line.extend_from_slice(taken);
                    bytes = rest;
                    if self.line.len() > LONGEST_LINE {
                        return Err(broken("a line that is too long"));
                    }
                    if end.is_some() {
                        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).trim().to_owned();
                        self.end_of_line(&line)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Says whether everything was there.
    pub(super) fn finish(&self) -> Result<(), Refusal> {
        match self.state {
            State::End => Ok(()),
            _ => Err(broken("no last piece")),
        }
    }

    fn end_of_line(&mut self, line: &str) -> Result<(), Refusal> {
        self.state = match self.state {
            State::Length => {
                let (digits, signature) = line.split_once(';').unwrap_or((line, ""));
                let length = u64::from_str_radix(digits, 16).map_err(|_| broken("no length of a piece"))?;
                signature.strip_prefix("chunk-signature=").unwrap_or_default().clone_into(&mut self.claimed);
                if length == 0 {
                    self.end_of_piece()?;
                    State::Trailer
                } else {
                    State::Data(length)
                }
            }
            State::AfterData if line.is_empty() => State::Length,
            State::AfterData => return Err(broken("no line end behind a piece")),
            State::Trailer if line.is_empty() => {
                // With a trailer the end comes only behind the trailer's own signature.
                if self.chain.has_trailer {
                    return Err(broken("no signature of its trailers"));
                }
                State::End
            }
            State::Trailer => self.trailer(line)?,
            state => state,
        };
        Ok(())
    }

    fn trailer(&mut self, line: &str) -> Result<State, Refusal> {
        if !self.chain.has_trailer {
            return Err(broken("trailers that nobody announced"));
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err(broken("a trailer without a name"));
        };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if name != "x-amz-trailer-signature" {
            self.trailers.push_str(&format!("{name}:{value}\n"));
            return Ok(State::Trailer);
        }
        let string_to_sign = format!(
            "AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{}\n{}",
            self.chain.time,
            self.chain.scope.text(),
            self.chain.previous,
            Sha256::of(self.trailers.as_bytes()).to_hex()
        );
        self.check(&string_to_sign, value)?;
        // Only an empty line may follow.
        self.chain.has_trailer = false;
        Ok(State::Trailer)
    }

    fn end_of_piece(&mut self) -> Result<(), Refusal> {
        let hash = std::mem::replace(&mut self.hasher, Sha256::hasher()).finish().to_hex();
        let string_to_sign = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{}\n{}\n{hash}",
            self.chain.time,
            self.chain.scope.text(),
            self.chain.previous,
            Sha256::of(b"").to_hex()
        );
        let claimed = std::mem::take(&mut self.claimed);
        self.check(&string_to_sign, &claimed)?;
        self.chain.previous = hex(&hmac(&self.chain.key, string_to_sign.as_bytes()));
        Ok(())
    }

    fn check(&self, string_to_sign: &str, claimed: &str) -> Result<(), Refusal> {
        if is_hmac(&self.chain.key, string_to_sign.as_bytes(), claimed) {
            return Ok(());
        }
        Err(Refusal::Mismatch(Box::new(Mismatch {
            key: self.chain.id.clone(),
            signature: claimed.to_owned(),
            string_to_sign: string_to_sign.to_owned(),
            canonical_request: String::new(),
        })))
    }
}

fn broken(what: &str) -> Refusal {
    Refusal::Broken { why: format!("the aws-chunked body has {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of AWS's documentation: "Signature Calculations for the Authorization Header:
    /// Transferring Payload in Multiple Chunks", Amazon S3 API Reference.
    fn example() -> ChunkVerifier {
        let scope = SigningScope {
            date: "20130524".to_owned(),
            region: "us-east-1".to_owned(),
            service: "s3".to_owned(),
        };
        ChunkVerifier::new(Chain {
            id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            key: scope.key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            time: "20130524T000000Z".to_owned(),
            scope,
            previous: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9".to_owned(),
            has_trailer: false,
        })
    }

    fn body(letter: &str) -> String {
        format!(
            "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n{}\r\n\
             400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n{}\r\n\
             0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n",
            "a".repeat(65536),
            letter.repeat(1024)
        )
    }

    fn check(body: &str) -> String {
        let mut outcomes = Vec::new();
        for size in [1, 7, 1000, 100_000] {
            let mut verifier = example();
            let outcome = body
                .as_bytes()
                .chunks(size)
                .try_for_each(|piece| verifier.push(piece))
                .and_then(|()| verifier.finish());
            outcomes.push(match outcome {
                Ok(()) => "good".to_owned(),
                Err(Refusal::Broken { why }) => why,
                Err(Refusal::Mismatch(mismatch)) => format!("not {}", mismatch.signature),
                Err(other) => format!("{other:?}"),
            });
        }
        outcomes.dedup();
        outcomes.join("\n")
    }

    #[test]
    fn awss_example_and_what_is_changed_in_it() {
        assert_eq!(check(&body("a")), "good");
        insta::assert_snapshot!(
            check(&body("b")),
            @"not 0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
        );
        let short = body("a").split("0;chunk").next().unwrap_or_default().to_owned();
        insta::assert_snapshot!(check(&short), @"the aws-chunked body has no last piece");
        insta::assert_snapshot!(check("0\r\n\r\n"), @"not ");
        let longer = body("a").trim_end().to_owned() + "\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        insta::assert_snapshot!(check(&longer), @"the aws-chunked body has trailers that nobody announced");
    }
}
