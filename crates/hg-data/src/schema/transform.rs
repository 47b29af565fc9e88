//! How a numeric column is made roughly normal, as the schema says it.
//!
//! A new transform has its key and its domain here, and its curve in `src/transform.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a numeric column is made roughly normal before it is scaled to [0, 1].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Transform {
    /// x
    #[default]
    Identity,
    /// log(1 + x), for x > −1.
    Log1p,
    /// √x, for x ≥ 0: the transform that makes the variance of counts constant.
    Sqrt,
    /// Box–Cox of x + shift with the λ of maximum likelihood, for x > −shift.
    BoxCox {
        /// Added to every value first, as the transform needs positive numbers.
        shift: f64,
    },
    /// The value's quantile in the table as that of a normal distribution, within ±5.2.
    Quantile,
}

/// The values of the schema's key `transform`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Transform")]
pub(crate) enum TransformKey {
    /// As it is.
    Identity,
    /// log(1 + x), for x > −1.
    Log1p,
    /// √x, for x ≥ 0, as for counts.
    Sqrt,
    /// Box–Cox of x + shift with λ of maximum likelihood, for x > −shift.
    BoxCox,
    /// The value's quantile in the table as that of a normal distribution, within ±5.2.
    Quantile,
}

impl Transform {
    /// One of each kind, for tests that go through all.
    pub const ALL: [Self; 5] =
        [Self::Identity, Self::Log1p, Self::Sqrt, Self::BoxCox { shift: 0.5 }, Self::Quantile];

    /// Whether it is defined at `x`.
    ///
    /// ```
    /// use hg_data::Transform;
    ///
    /// assert!(Transform::Log1p.is_defined_at(-0.5));
    /// assert!(!Transform::Log1p.is_defined_at(-1.0));
    /// assert!(Transform::BoxCox { shift: 2.0 }.is_defined_at(-1.0));
    /// ```
    pub fn is_defined_at(self, x: f64) -> bool {
        match self {
            Self::Identity | Self::Quantile => true,
            Self::Log1p => x > -1.,
            Self::Sqrt => x >= 0.,
            Self::BoxCox { shift } => x + shift > 0.,
        }
    }

    /// The transform of a schema's keys `transform` and `shift`.
    pub(crate) fn of_keys(key: Option<TransformKey>, shift: Option<f64>) -> Self {
        match key {
            None | Some(TransformKey::Identity) => Self::Identity,
            Some(TransformKey::Log1p) => Self::Log1p,
            Some(TransformKey::Sqrt) => Self::Sqrt,
            Some(TransformKey::BoxCox) => Self::BoxCox { shift: shift.unwrap_or(0.) },
            Some(TransformKey::Quantile) => Self::Quantile,
        }
    }

    /// The value of the schema's key `transform`.
    pub(crate) fn key(self) -> TransformKey {
        match self {
            Self::Identity => TransformKey::Identity,
            Self::Log1p => TransformKey::Log1p,
            Self::Sqrt => TransformKey::Sqrt,
            Self::BoxCox { .. } => TransformKey::BoxCox,
            Self::Quantile => TransformKey::Quantile,
        }
    }

    /// The value of the schema's key `shift`, which is 0 if not given.
    pub(crate) fn shift(self) -> Option<f64> {
        match self {
            Self::BoxCox { shift } => (shift != 0.).then_some(shift),
            Self::Identity | Self::Log1p | Self::Sqrt | Self::Quantile => None,
        }
    }
}

impl std::fmt::Display for Transform {
    /// As the schema writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.key().serialize(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_domains_are_those_of_the_functions() {
        let shifted = Transform::BoxCox { shift: 2. };
        for (transform, x, is_defined) in [
            (Transform::Identity, -1e300, true),
            (Transform::Quantile, -1e300, true),
            (Transform::Log1p, -1., false),
            (Transform::Log1p, -0.999, true),
            (Transform::Sqrt, 0., true),
            (Transform::Sqrt, -1e-300, false),
            (shifted, -2., false),
            (shifted, -1.999, true),
        ] {
            assert_eq!(transform.is_defined_at(x), is_defined, "{transform} of {x}");
        }
    }

    #[test]
    fn a_transform_is_that_of_its_keys() {
        for transform in Transform::ALL {
            let (key, shift) = (transform.key(), transform.shift());
            assert_eq!(Transform::of_keys(Some(key), shift), transform);
            assert_eq!(shift.is_some(), transform == Transform::BoxCox { shift: 0.5 });
        }
        assert_eq!(Transform::of_keys(None, None), Transform::Identity);
    }
}
