//! Pickles, read without being executed: a machine that knows the opcodes of Python's `pickle` and builds inert values. It calls
//! nothing and imports nothing. Of the names that a pickle mentions it knows those of PyTorch's tensors and storages; a call
//! of any other gives a value that holds what it was called with, in which tensors are found all the same.

use super::super::Input;
use super::super::cursor::Cursor;
use super::global::{Global, Stored};
use std::collections::HashMap;

/// Values that a pickle may stand for, all lists, memos and shapes together; more than any checkpoint's, which is a few for
/// every tensor.
const MAX_VALUES: usize = 1 << 23;
/// The longest text that is kept: keys and names.
const MAX_TEXT: usize = 1 << 12;
/// The most axes of a tensor.
const MAX_AXES: usize = 64;

/// A value. What does not lead to a tensor is `Nothing`.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// None, booleans, floats, bytes, …
    Nothing,
    /// An integer of at most 64 bits.
    Int(i64),
    /// Position in [`Pickle::texts`].
    Text(u32),
    /// A class or function.
    Global(Global),
    /// Position in [`Pickle::nodes`].
    Node(u32),
    /// Position in [`Pickle::storages`], and what the reference says of its elements.
    Storage(u32, Stored),
    /// Position in [`Pickle::views`].
    Tensor(u32),
}

/// A list, tuple, set, dict or object.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// What it holds by position.
    pub items: Vec<Value>,
    /// What it holds by key. The state of an object, and what it was made with, have the key `Nothing`.
    pub entries: Vec<(Value, Value)>,
}

/// Bytes that tensors are views of; they are not in the pickle.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Its name in the file.
    pub key: String,
    /// Elements, where it is mentioned first.
    pub count: u64,
    /// What those are.
    pub stored: Stored,
}

/// A tensor: a storage seen with a shape.
#[derive(Clone, Debug)]
pub struct View {
    /// Position of the storage.
    pub storage: u32,
    /// Its elements.
    pub stored: Stored,
    /// Elements of the storage before its first.
    pub offset: u64,
    /// Elements along each axis.
    pub shape: Vec<u64>,
    /// Elements from one to the next along each axis.
    pub strides: Vec<u64>,
}

/// What a pickle says.
#[derive(Debug)]
pub struct Pickle {
    /// The value that it stands for.
    pub root: Value,
    pub nodes: Vec<Node>,
    pub texts: Vec<String>,
    pub storages: Vec<Storage>,
    /// Tensors, in order.
    pub views: Vec<View>,
    /// Source offset of the byte after it.
    pub end: u64,
}

impl Pickle {
    /// Reads the pickle at `start`; `None` if it is none, is cut off, or wants too much.
    pub fn read(input: Input<'_>, start: u64) -> Option<Pickle> {
        let mut machine = Machine::new(input, start);
        loop {
            match machine.cursor.u8()? {
                b'.' => break,
                code => machine.step(code)?,
            }
        }
        let root = machine.stack.pop()?;
        Some(Pickle { root, end: machine.cursor.at(), ..machine.pickle })
    }

    /// What a value holds.
    pub fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(i) => self.nodes.get(i as usize),
            _ => None,
        }
    }

    /// A value that is text.
    pub fn text(&self, value: Value) -> Option<&str> {
        match value {
            Value::Text(i) => self.texts.get(i as usize).map(String::as_str),
            _ => None,
        }
    }
}

struct Machine<'a> {
    cursor: Cursor<'a>,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    keys: HashMap<String, u32>,
    pickle: Pickle,
    /// Values that may still be kept.
    budget: usize,
}

impl<'a> Machine<'a> {
    fn new(input: Input<'a>, start: u64) -> Machine<'a> {
        let pickle = Pickle {
            root: Value::Nothing,
            nodes: Vec::new(),
            texts: Vec::new(),
            storages: Vec::new(),
            views: Vec::new(),
            end: start,
        };
        let cursor = Cursor::new(input, start);
        let (stack, marks, memo, keys) = (Vec::new(), Vec::new(), HashMap::new(), HashMap::new());
        Machine { cursor, stack, marks, memo, keys, pickle, budget: MAX_VALUES }
    }

    /// One opcode. The letters are those of CPython's `Lib/pickle.py`.
    fn step(&mut self, code: u8) -> Option<()> {
        match code {
            // PROTO, FRAME, READONLY_BUFFER
            0x80 => self.cursor.skip(1),
            0x95 => self.cursor.skip(8),
            0x98 => Some(()),
            // MARK, POP, POP_MARK, DUP
            b'(' => self.mark(),
            b'0' => self.stack.pop().map(|_| ()),
            b'1' => self.since_mark().map(|_| ()),
            b'2' => self.top().and_then(|top| self.push(top)),
            // NONE, NEWTRUE, NEWFALSE, NEXT_BUFFER
            b'N' | 0x88 | 0x89 | 0x97 => self.push(Value::Nothing),
            b'I' | b'L' | b'J' | b'K' | b'M' | 0x8a | 0x8b => self.integer(code),
            b'F' | b'P' => self.cursor.line(MAX_TEXT).and_then(|_| self.push(Value::Nothing)),
            b'G' => self.passed(8),
            b'S' | b'V' => self.quoted(),
            b'U' | b'T' | b'X' | 0x8c | 0x8d | b'C' | b'B' | 0x8e | 0x96 => self.string(code),
            b')' | b']' | b'}' | 0x8f | b't' | b'l' | b'd' | 0x91 | 0x85 | 0x86 | 0x87 => {
                self.container(code)
            }
            // APPEND, APPENDS, ADDITEMS, SETITEM, SETITEMS, BUILD
            b'a' => self.pop().and_then(|item| self.add_items(&[item])),
            b'e' | 0x90 => self.since_mark().and_then(|items| self.add_items(&items)),
            b's' => self.pop_pair().and_then(|(key, value)| self.add_entries(&[key, value])),
            b'u' => self.since_mark().and_then(|items| self.add_entries(&items)),
            b'b' => self.pop().and_then(|state| self.add_entries(&[Value::Nothing, state])),
            b'c' | 0x93 => self.global(code),
            b'R' | 0x81 | 0x92 | b'o' | b'i' => self.call(code),
            b'Q' => self.pop().and_then(|id| self.persistent(id)),
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.memory(code),
            // EXT1, EXT2, EXT4
            0x82 => self.passed(1),
            0x83 => self.passed(2),
            0x84 => self.passed(4),
            _ => None,
        }
    }

    /// Counts values that are kept.
    fn spend(&mut self, values: usize) -> Option<()> {
        self.budget = self.budget.checked_sub(values)?;
        Some(())
    }

    fn push(&mut self, value: Value) -> Option<()> {
        self.stack.push(value);
        (self.stack.len() <= MAX_VALUES).then_some(())
    }

    fn pop(&mut self) -> Option<Value> {
        self.stack.pop()
    }

    /// The value below the top, and the top.
    fn pop_pair(&mut self) -> Option<(Value, Value)> {
        let top = self.pop()?;
        Some((self.pop()?, top))
    }

    fn top(&self) -> Option<Value> {
        self.stack.last().copied()
    }

    fn mark(&mut self) -> Option<()> {
        self.marks.push(self.stack.len());
        (self.marks.len() <= MAX_VALUES).then_some(())
    }

    fn since_mark(&mut self) -> Option<Vec<Value>> {
        let mark = self.marks.pop()?;
        (mark <= self.stack.len()).then(|| self.stack.split_off(mark))
    }

    /// A value of so many bytes that does not matter.
    fn passed(&mut self, len: u64) -> Option<()> {
        self.cursor.skip(len)?;
        self.push(Value::Nothing)
    }

    fn integer(&mut self, code: u8) -> Option<()> {
        let int = match code {
            b'J' => i64::from(i32::from_le_bytes(self.cursor.array()?)),
            b'K' => self.cursor.u8()?.into(),
            b'M' => self.cursor.u16()?.into(),
            b'I' | b'L' => {
                let line = self.cursor.line(MAX_TEXT)?;
                let int =
                    str::from_utf8(&line).ok().and_then(|digits| digits.trim_end_matches('L').parse().ok());
                return self.push(int.map_or(Value::Nothing, Value::Int));
            }
            _ => {
                let len = if code == 0x8a { self.cursor.u8()?.into() } else { self.cursor.u32()? };
                return self.long(len.into());
            }
        };
        self.push(Value::Int(int))
    }

    /// An integer of any length, of which 64 bits are read.
    fn long(&mut self, len: u64) -> Option<()> {
        if len > 8 {
            return self.passed(len);
        }
        let bytes = self.cursor.bytes(len, 8)?;
        let sign = bytes.last().is_some_and(|last| last & 0x80 != 0);
        let mut all = [if sign { 0xff } else { 0 }; 8];
        all.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
        self.push(Value::Int(i64::from_le_bytes(all)))
    }

    /// Text of the first protocol. What has escapes in it is kept with them, and matters to nobody.
    fn quoted(&mut self) -> Option<()> {
        let line = self.cursor.line(MAX_TEXT)?;
        let text = str::from_utf8(&line).ok()?;
        let text =
            text.strip_prefix(['\'', '"']).and_then(|text| text.strip_suffix(['\'', '"'])).unwrap_or(text);
        self.push_text(Some(text.to_owned()))
    }

    fn string(&mut self, code: u8) -> Option<()> {
        let len = match code {
            b'U' | 0x8c | b'C' => self.cursor.u8()?.into(),
            b'T' | b'X' | b'B' => self.cursor.u32()?.into(),
            _ => self.cursor.u64()?,
        };
        if matches!(code, b'C' | b'B' | 0x8e | 0x96) {
            return self.passed(len);
        }
        let text = self.cursor.text(len, MAX_TEXT)?;
        self.push_text(text)
    }

    fn push_text(&mut self, text: Option<String>) -> Option<()> {
        let Some(text) = text else { return self.push(Value::Nothing) };
        self.spend(1)?;
        let id = u32::try_from(self.pickle.texts.len()).ok()?;
        self.pickle.texts.push(text);
        self.push(Value::Text(id))
    }

    fn container(&mut self, code: u8) -> Option<()> {
        let node = match code {
            b't' | b'l' | 0x91 => Node { items: self.since_mark()?, entries: Vec::new() },
            b'd' => Node { items: Vec::new(), entries: pairs(&self.since_mark()?).collect() },
            0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(code) - 0x84)?;
                Node { items: self.stack.split_off(from), entries: Vec::new() }
            }
            _ => Node::default(),
        };
        self.push_node(node)
    }

    fn push_node(&mut self, node: Node) -> Option<()> {
        // An empty one is not free either.
        self.spend(4 + node.items.len() + 2 * node.entries.len())?;
        let id = u32::try_from(self.pickle.nodes.len()).ok()?;
        self.pickle.nodes.push(node);
        self.push(Value::Node(id))
    }

    /// The container on top of the stack, if the value there is one.
    fn below(&mut self) -> Option<Option<&mut Node>> {
        Some(match self.top()? {
            Value::Node(id) => self.pickle.nodes.get_mut(id as usize),
            _ => None,
        })
    }

    fn add_items(&mut self, items: &[Value]) -> Option<()> {
        self.spend(items.len())?;
        if let Some(node) = self.below()? {
            node.items.extend_from_slice(items);
        }
        Some(())
    }

    fn add_entries(&mut self, items: &[Value]) -> Option<()> {
        self.spend(items.len())?;
        if let Some(node) = self.below()? {
            node.entries.extend(pairs(items));
        }
        Some(())
    }

    fn global(&mut self, code: u8) -> Option<()> {
        let global = if code == b'c' {
            let (module, name) = (self.cursor.line(MAX_TEXT)?, self.cursor.line(MAX_TEXT)?);
            Global::named(str::from_utf8(&module).ok()?, str::from_utf8(&name).ok()?)
        } else {
            let (module, name) = self.pop_pair()?;
            Global::named(self.pickle.text(module)?, self.pickle.text(name)?)
        };
        self.push(Value::Global(global))
    }

    fn memory(&mut self, code: u8) -> Option<()> {
        let key = match code {
            b'q' | b'h' => self.cursor.u8()?.into(),
            b'r' | b'j' => self.cursor.u32()?,
            0x94 => u32::try_from(self.memo.len()).ok()?,
            _ => str::from_utf8(&self.cursor.line(MAX_TEXT)?).ok()?.parse().ok()?,
        };
        if matches!(code, b'g' | b'h' | b'j') {
            let value = *self.memo.get(&key)?;
            return self.push(value);
        }
        self.spend(2)?;
        self.memo.insert(key, self.top()?);
        Some(())
    }

    /// REDUCE, NEWOBJ, NEWOBJ_EX, OBJ, INST: calls, of which only those that make tensors mean something.
    fn call(&mut self, code: u8) -> Option<()> {
        match code {
            b'R' => {
                let (function, arguments) = self.pop_pair()?;
                let value = self.result(function, arguments);
                match value {
                    Some(value) => self.push(value),
                    None => self.object(arguments),
                }
            }
            0x81 => {
                let (_, arguments) = self.pop_pair()?;
                self.object(arguments)
            }
            0x92 => {
                let (arguments, _) = self.pop_pair()?;
                self.pop()?;
                self.object(arguments)
            }
            _ => {
                if code == b'i' {
                    self.cursor.line(MAX_TEXT)?;
                    self.cursor.line(MAX_TEXT)?;
                }
                let items = self.since_mark()?;
                self.push_node(Node { items, entries: Vec::new() })
            }
        }
    }

    /// A value of an unknown kind that was made with these arguments.
    fn object(&mut self, arguments: Value) -> Option<()> {
        let empty = self.pickle.node(arguments).is_none_or(|n| n.items.is_empty() && n.entries.is_empty());
        let entries = if empty { Vec::new() } else { vec![(Value::Nothing, arguments)] };
        self.push_node(Node { items: Vec::new(), entries })
    }

    /// What one of the known functions makes of its arguments.
    fn result(&mut self, function: Value, arguments: Value) -> Option<Value> {
        let Value::Global(global) = function else { return None };
        let items = &self.pickle.node(arguments)?.items;
        let argument = |i: usize| items.get(i).copied();
        match global {
            Global::Tensor => self.tensor(arguments, None),
            Global::TensorOfDtype => match argument(6)? {
                Value::Global(Global::Dtype(stored)) => self.tensor(arguments, Some(stored)),
                _ => None,
            },
            // They hand on what they were given.
            Global::Parameter => argument(0),
            Global::Subclass => match (argument(0)?, argument(2)?) {
                (Value::Global(Global::Tensor), arguments) => self.tensor(arguments, None),
                _ => None,
            },
            Global::Dict => match items.as_slice() {
                [pairs] => self.dict(*pairs),
                _ => None,
            },
            _ => None,
        }
    }

    /// A dict made of a list of pairs.
    fn dict(&mut self, list: Value) -> Option<Value> {
        let list = &self.pickle.node(list)?.items;
        if list.len() * 2 + 4 > self.budget {
            return None;
        }
        let pair = |value: &Value| match self.pickle.node(*value)?.items.as_slice() {
            [key, value] => Some((*key, *value)),
            _ => None,
        };
        let entries = list.iter().map(pair).collect::<Option<Vec<_>>>()?;
        self.push_node(Node { items: Vec::new(), entries })?;
        self.pop()
    }

    /// A tensor: storage, offset, shape, strides and more that does not matter.
    fn tensor(&mut self, arguments: Value, dtype: Option<Stored>) -> Option<Value> {
        let [storage, offset, shape, strides, ..] = *self.pickle.node(arguments)?.items.as_slice() else {
            return None;
        };
        let (Value::Storage(storage, stored), Value::Int(offset)) = (storage, offset) else { return None };
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() {
            return None;
        }
        self.spend(4 + 2 * shape.len())?;
        let (offset, stored) = (u64::try_from(offset).ok()?, dtype.unwrap_or(stored));
        let id = u32::try_from(self.pickle.views.len()).ok()?;
        self.pickle.views.push(View { storage, stored, offset, shape, strides });
        Some(Value::Tensor(id))
    }

    /// A tuple of sizes.
    fn sizes(&self, tuple: Value) -> Option<Vec<u64>> {
        let items = &self.pickle.node(tuple)?.items;
        let size = |value: &Value| match value {
            Value::Int(size) => u64::try_from(*size).ok(),
            _ => None,
        };
        (items.len() <= MAX_AXES).then(|| items.iter().map(size).collect())?
    }

    /// What a persistent id stands for: ("storage", type, key, location, number of elements, …) is a storage, ("module", module, …)
    /// a module with its source.
    fn persistent(&mut self, id: Value) -> Option<()> {
        let items = self.pickle.node(id).map_or(&[][..], |node| &node.items);
        let kind = items.first().and_then(|kind| self.pickle.text(*kind));
        let value = match (kind, items) {
            (Some("module"), [_, module, ..]) => *module,
            (Some("storage"), [_, Value::Global(Global::Storage(stored)), key, _, Value::Int(count), ..]) => {
                let (stored, count) = (*stored, u64::try_from(*count).ok()?);
                let key = self.pickle.text(*key)?.to_owned();
                self.storage(key, count, stored)?
            }
            _ => Value::Nothing,
        };
        self.push(value)
    }

    fn storage(&mut self, key: String, count: u64, stored: Stored) -> Option<Value> {
        if let Some(id) = self.keys.get(&key) {
            return Some(Value::Storage(*id, stored));
        }
        self.spend(8)?;
        let id = u32::try_from(self.pickle.storages.len()).ok()?;
        self.keys.insert(key.clone(), id);
        self.pickle.storages.push(Storage { key, count, stored });
        Some(Value::Storage(id, stored))
    }
}

fn pairs(items: &[Value]) -> impl Iterator<Item = (Value, Value)> {
    items.chunks_exact(2).map(|pair| (pair[0], pair[1]))
}
