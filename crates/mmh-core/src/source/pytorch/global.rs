//! The names of classes and functions that mean something in PyTorch's pickles.

use crate::dtype::Dtype;

/// How elements are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The type of the numbers.
    pub dtype: Dtype,
    /// Numbers in an element: two in complex ones that have no dtype.
    pub parts: u8,
}

impl Stored {
    /// Bytes of an element.
    pub fn width(self) -> u64 {
        self.dtype.unit().1 * u64::from(self.parts)
    }

    /// The dtype of a tensor, if there is one.
    pub fn dtype(self) -> Option<Dtype> {
        (self.parts == 1).then_some(self.dtype)
    }
}

/// A class or function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    /// A storage's class.
    Storage(Stored),
    /// A dtype itself.
    Dtype(Stored),
    /// Makes a tensor of a storage, an offset, a shape and strides; the storage knows the dtype.
    Tensor,
    /// The same of a storage that does not know its dtype.
    TensorOfDtype,
    /// Makes a parameter of a tensor.
    Parameter,
    /// Calls another function and gives the result a class.
    Subclass,
    /// `OrderedDict`.
    Dict,
    /// Any other.
    Unknown,
}

impl Global {
    /// Looks a name up.
    pub fn named(module: &str, name: &str) -> Global {
        match (module, name) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_qtensor") => Global::Tensor,
            ("torch._utils", "_rebuild_tensor_v3") => Global::TensorOfDtype,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Global::Parameter,
            ("torch._tensor", "_rebuild_from_type_v2") => Global::Subclass,
            ("collections", "OrderedDict") => Global::Dict,
            ("torch" | "torch.storage" | "torch.cuda", _) => of_torch(name),
            _ => Global::Unknown,
        }
    }
}

fn of_torch(name: &str) -> Global {
    match name.strip_suffix("Storage") {
        Some(kind) => storage(kind).map_or(Global::Unknown, Global::Storage),
        None => dtype(name).map_or(Global::Unknown, Global::Dtype),
    }
}

fn one(dtype: Dtype) -> Option<Stored> {
    Some(Stored { dtype, parts: 1 })
}

fn two(dtype: Dtype) -> Option<Stored> {
    Some(Stored { dtype, parts: 2 })
}

/// The elements of a storage class, by its name without `Storage`.
fn storage(kind: &str) -> Option<Stored> {
    match kind {
        "Float" => one(Dtype::F32),
        "BFloat16" => one(Dtype::BF16),
        "Half" => one(Dtype::F16),
        "Double" => one(Dtype::F64),
        "Long" => one(Dtype::I64),
        "Int" | "QInt32" => one(Dtype::I32),
        "Short" => one(Dtype::I16),
        "Char" | "QInt8" => one(Dtype::I8),
        "Byte" | "QUInt8" | "Untyped" | "QUInt4x2" | "QUInt2x4" => one(Dtype::U8),
        "Bool" => one(Dtype::Bool),
        "ComplexFloat" => one(Dtype::C64),
        "ComplexDouble" => two(Dtype::F64),
        _ => None,
    }
}

/// The elements of a tensor, by the name of its dtype.
fn dtype(name: &str) -> Option<Stored> {
    match name {
        "float32" => one(Dtype::F32),
        "bfloat16" => one(Dtype::BF16),
        "float16" => one(Dtype::F16),
        "float64" => one(Dtype::F64),
        "float8_e4m3fn" => one(Dtype::F8_E4M3),
        "float8_e5m2" => one(Dtype::F8_E5M2),
        "float8_e4m3fnuz" => one(Dtype::F8_E4M3FNUZ),
        "float8_e5m2fnuz" => one(Dtype::F8_E5M2FNUZ),
        "float8_e8m0fnu" => one(Dtype::F8_E8M0),
        "int64" => one(Dtype::I64),
        "int32" => one(Dtype::I32),
        "int16" => one(Dtype::I16),
        "int8" => one(Dtype::I8),
        "uint64" => one(Dtype::U64),
        "uint32" => one(Dtype::U32),
        "uint16" => one(Dtype::U16),
        "uint8" => one(Dtype::U8),
        "bool" => one(Dtype::Bool),
        "complex32" => two(Dtype::F16),
        "complex64" => one(Dtype::C64),
        "complex128" => two(Dtype::F64),
        _ => None,
    }
}
