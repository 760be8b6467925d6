//! DNS messages made by hand, and read back: written for tests alone, apart from the stack's own code.

/// Response, authoritative.
pub const RESPONSE: u16 = 0x8400;
/// The top bit of a class: unicast wanted, or cache flush.
pub const TOP: u16 = 0x8000;

/// A question: name in lower case, type, class with its top bit.
pub type Question = (String, u16, u16);

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rr {
    /// Owner, its labels joined by dots.
    pub name: String,
    /// Type.
    pub kind: u16,
    /// Class with its top bit.
    pub class: u16,
    /// In seconds.
    pub ttl: u32,
    /// Data; names in PTR, SRV and NSEC are whole.
    pub data: Vec<u8>,
}

impl Rr {
    /// A record of class IN.
    pub fn new(name: &str, kind: u16, ttl: u32, data: &[u8]) -> Self {
        Self { name: name.into(), kind, class: 1, ttl, data: data.to_vec() }
    }

    /// The same, of which there are no others.
    #[must_use]
    pub fn unique(self) -> Self {
        Self { class: self.class | TOP, ..self }
    }
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Msg {
    /// Identifier.
    pub id: u16,
    /// Flags.
    pub flags: u16,
    /// Questions.
    pub questions: Vec<Question>,
    /// Answers, authority, additional records.
    pub sections: [Vec<Rr>; 3],
}

/// A name on the wire, whole.
pub fn wire(name: &str) -> Vec<u8> {
    let mut octets: Vec<u8> = name.split('.').flat_map(|l| [&[l.len() as u8], l.as_bytes()].concat()).collect();
    octets.push(0);
    octets
}

impl Msg {
    /// A query with these questions of class IN.
    pub fn query(questions: &[(&str, u16)]) -> Self {
        let questions = questions.iter().map(|(n, k)| (n.to_string(), *k, 1)).collect();
        Self { questions, ..Self::default() }
    }

    /// A response with these answers.
    pub fn response(answers: Vec<Rr>) -> Self {
        Self { flags: RESPONSE, sections: [answers, vec![], vec![]], ..Self::default() }
    }

    /// Answers in it.
    pub fn answers(&self) -> &[Rr] {
        &self.sections[0]
    }

    /// Whether an answer is of this type.
    pub fn has(&self, kind: u16) -> bool {
        self.answers().iter().any(|r| r.kind == kind)
    }

    /// The octets, nothing compressed.
    pub fn build(&self) -> Vec<u8> {
        let mut m = [self.id.to_be_bytes(), self.flags.to_be_bytes()].concat();
        let counts = [self.questions.len()].into_iter().chain(self.sections.iter().map(Vec::len));
        m.extend(counts.flat_map(|n| (n as u16).to_be_bytes()));
        for (name, kind, class) in &self.questions {
            m.extend(wire(name));
            m.extend([kind.to_be_bytes(), class.to_be_bytes()].concat());
        }
        for r in self.sections.iter().flatten() {
            m.extend(wire(&r.name));
            m.extend([r.kind.to_be_bytes(), r.class.to_be_bytes()].concat());
            m.extend(r.ttl.to_be_bytes());
            m.extend((r.data.len() as u16).to_be_bytes());
            m.extend(&r.data);
        }
        m
    }

    /// Reads what a stack has sent.
    ///
    /// # Panics
    /// On what no stack may send.
    pub fn read(m: &[u8]) -> Self {
        let word = |at: usize| u16::from_be_bytes([m[at], m[at + 1]]);
        let mut at = 12;
        let mut questions = Vec::new();
        for _ in 0..word(4) {
            let name = name(m, &mut at);
            questions.push((name, word(at), word(at + 2)));
            at += 4;
        }
        let sections = [6, 8, 10].map(|count| {
            let records = (0..word(count)).map(|_| {
                let name = name(m, &mut at);
                let (kind, class, ttl) =
                    (word(at), word(at + 2), u32::from(word(at + 4)) << 16 | u32::from(word(at + 6)));
                let end = at + 10 + usize::from(word(at + 8));
                at += 10;
                let mut data = Vec::new();
                if matches!(kind, 12 | 33 | 47) {
                    let front = if kind == 33 { 6 } else { 0 };
                    data.extend(&m[at..at + front]);
                    at += front;
                    data.extend(wire(&self::name(m, &mut at)));
                }
                data.extend(&m[at..end]);
                at = end;
                Rr { name, kind, class, ttl, data }
            });
            records.collect()
        });
        assert_eq!(at, m.len(), "nothing is behind the records");
        Self { id: word(0), flags: word(2), questions, sections }
    }
}

fn name(m: &[u8], at: &mut usize) -> String {
    let (mut labels, mut here, mut end) = (Vec::new(), *at, None);
    loop {
        let len = usize::from(m[here]);
        if len >= 0xc0 {
            end = end.or(Some(here + 2));
            let to = (len & 0x3f) << 8 | usize::from(m[here + 1]);
            assert!(to < here, "pointers lead backwards");
            here = to;
        } else {
            here += 1 + len;
            if len == 0 {
                *at = end.unwrap_or(here);
                return labels.join(".");
            }
            labels.push(String::from_utf8_lossy(&m[here - len..here]).to_string());
        }
    }
}
