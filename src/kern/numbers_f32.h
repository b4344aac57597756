// SPDX-License-Identifier: Apache-2.0
// Coefficients of the elementary functions of floats that math_f32.h computes, and that code written at load computes,
// too: with the same operations, so that bits are equal.
#ifndef LEAT_KERN_NUMBERS_F32_H_
#define LEAT_KERN_NUMBERS_F32_H_

// exp(x) = 2^n exp(r), n = x / log(2) rounded, r = x - n log(2), which is in two parts; exp(r) - 1 - r over r^2.
#define F32_EXP_OVER_LOG2 0x1.715476p+0f
#define F32_EXP_LESS_HIGH -0x1.62e42ep-1f
#define F32_EXP_LESS_LOW -0x1.efa39ep-25f
#define F32_EXP_POLY 0.5f, 0.16666573f, 0.04166655f, 0.008363774f, 0.0013926927f
// Beyond them the result is infinite, or 0.
#define F32_EXP_HIGHEST 89.0f
#define F32_EXP_LOWEST -104.0f
// What is whole in a float of at most 2^22 is in the low bits of its sum with this number, whose other bits are zero
// where they are shifted into an exponent.
#define F32_WHOLE 0x1.8p23f

// tanh(x) - x over x^3, in x^2, up to this number; beyond it 1 - 2 / (exp(2 |x|) + 1), where 2 |x| is as large as it
// need be.
#define F32_TANH_POLY -0.33333334f, 0.13333304f, -0.05395925f, 0.021768834f, -0.0083436705f, 0.0022924328f
#define F32_TANH_NEAR 0x1.3ffffep-1f
#define F32_TANH_FAR 40.0f

// erf(x) / x in x^2 below 1; beyond it log2(erfc(x)), a polynomial on [1, 4], and 2^r for r in [-1/2, 1/2].
#define F32_ERF_NEAR_POLY \
  1.1283791f, -0.37612626f, 0.11283594f, -0.026854211f, 0.0051890872f, -0.00080168643f, 7.875875e-05f
#define F32_ERF_LOG2_POLY \
  -0.000510305945f, -1.62597508f, -0.920764998f, -0.148651519f, 0.0314584328f, -0.00424095884f, 0.000267726896f
#define F32_ERF_POWER_POLY 1.0f, 0.693146978f, 0.240222421f, 0.0555073374f, 0.00967151283f, 0.00132647273f
#define F32_ERF_FAR 4.0f

#endif
