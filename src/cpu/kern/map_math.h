/* Functions of the elementwise maps and their derivatives on native vectors, shared by map.c and
 * activation.c.  f_name(x) is the function; d_name(x, y) its derivative, from x or from y =
 * f(x). */
#ifndef SY_CPU_KERN_MAP_MATH_H
#define SY_CPU_KERN_MAP_MATH_H

#include "cpu/kern/vec_math.h"
#include "cpu/math.h"

#define MAP_F(name) SY_INLINE vf f_##name(vf x)
#define MAP_D(name)                                                                                \
    SY_INLINE vf d_##name(vf x __attribute__((unused)), vf y __attribute__((unused)))

SY_INLINE vf vf_one(void)
{
    return vf_set1(1.0f);
}

SY_INLINE vf vf_sign(vf x)
{
    vf s = vf_keep(vf_gt(x, vf_zero()), vf_one()) - vf_keep(vf_lt(x, vf_zero()), vf_one());
    return vf_sel(vf_isnan(x), x, s);
}

/* Lane by lane through the scalar double code: not hot (RoPE uses tables). */
SY_INLINE vf vf_sin(vf x)
{
    for (int j = 0; j < SY_W; j++)
        x[j] = sy_sinf(x[j]);
    return x;
}
SY_INLINE vf vf_cos(vf x)
{
    for (int j = 0; j < SY_W; j++)
        x[j] = sy_cosf(x[j]);
    return x;
}

MAP_F(neg)
{
    return vf_neg(x);
}
MAP_D(neg)
{
    return vf_set1(-1.0f);
}
MAP_F(abs)
{
    return vf_abs(x);
}
MAP_D(abs)
{
    return vf_sign(x);
}
MAP_F(sign)
{
    return vf_sign(x);
}
MAP_D(sign)
{
    return vf_zero();
}
MAP_F(floor)
{
    return vf_floor(x);
}
MAP_D(floor)
{
    return vf_zero();
}
MAP_F(ceil)
{
    return vf_ceil(x);
}
MAP_D(ceil)
{
    return vf_zero();
}
MAP_F(trunc)
{
    return vf_trunc(x);
}
MAP_D(trunc)
{
    return vf_zero();
}
MAP_F(round)
{
    return vf_rint(x);
}
MAP_D(round)
{
    return vf_zero();
}
MAP_F(square)
{
    return x * x;
}
MAP_D(square)
{
    return x + x;
}
MAP_F(sqrt)
{
    return vf_sqrt(x);
}
MAP_D(sqrt)
{
    return 0.5f / y;
}
MAP_F(rsqrt)
{
    return 1.0f / vf_sqrt(x);
}
MAP_D(rsqrt)
{
    return y * y * y * -0.5f;
}
MAP_F(recip)
{
    return 1.0f / x;
}
MAP_D(recip)
{
    return vf_neg(y * y);
}
MAP_F(exp)
{
    return vf_exp(x);
}
MAP_D(exp)
{
    return y;
}
MAP_F(log)
{
    return vf_log(x);
}
MAP_D(log)
{
    return 1.0f / x;
}
MAP_F(log1p)
{
    return vf_log1p(x);
}
MAP_D(log1p)
{
    return 1.0f / (x + 1.0f);
}
MAP_F(sin)
{
    return vf_sin(x);
}
MAP_D(sin)
{
    return vf_cos(x);
}
MAP_F(cos)
{
    return vf_cos(x);
}
MAP_D(cos)
{
    return vf_neg(vf_sin(x));
}
MAP_F(tanh)
{
    return vf_tanh(x);
}
MAP_D(tanh)
{
    return (1.0f - y) * (1.0f + y);
}
MAP_F(erf)
{
    return vf_erf(x);
}
MAP_D(erf)
{
    return vf_exp(vf_neg(x * x)) * 1.12837917f; /* 2/sqrt(pi) */
}
MAP_F(sigmoid)
{
    return vf_sigmoid(x);
}
MAP_D(sigmoid)
{
    return y * (1.0f - y);
}
MAP_F(softplus)
{
    return vf_max(vf_zero(), x) + vf_log1p(vf_exp(vf_neg(vf_abs(x))));
}
MAP_D(softplus)
{
    return vf_sigmoid(x);
}
MAP_F(relu)
{
    return vf_max(vf_zero(), x);
}
MAP_D(relu)
{
    return vf_keep(vf_gt(x, vf_zero()), vf_one());
}
MAP_F(relu2)
{
    vf r = vf_max(vf_zero(), x);
    return r * r;
}
MAP_D(relu2)
{
    vf r = vf_max(vf_zero(), x);
    return r + r;
}

/* silu = x s(x);  silu' = s + x s (1 - s) = s + silu (1 - s) */
SY_INLINE void fd_silu(vf x, vf *f, vf *d)
{
    vf s = vf_sigmoid(x);
    *f = x * s;
    *d = s + *f * (1.0f - s);
}

/* gelu = x Phi(x);  gelu' = Phi + x phi(x), phi = exp(-x*x/2) / sqrt(2 pi) */
SY_INLINE void fd_gelu(vf x, vf *f, vf *d)
{
    vf e = vf_gauss(x);
    vf p = vf_phi_from(x, e);
    *f = x * p;
    *d = p + x * (e * 0.398942280f);
}

/* x (1 + tanh u) / 2 = x s(2u), 2u = 2 sqrt(2/pi) (x + 0.044715 x^3) */
SY_INLINE void fd_gelu_tanh(vf x, vf *f, vf *d)
{
    vf z = x * x;
    vf s = vf_sigmoid(x * (z * 0.0713548163f + 1.59576912f));
    *f = x * s;
    *d = s + *f * (1.0f - s) * (z * 0.214064449f + 1.59576912f);
}

SY_INLINE void fd_relu(vf x, vf *f, vf *d)
{
    *f = f_relu(x);
    *d = d_relu(x, x);
}
SY_INLINE void fd_relu2(vf x, vf *f, vf *d)
{
    *f = f_relu2(x);
    *d = d_relu2(x, x);
}

MAP_F(silu)
{
    return x * vf_sigmoid(x);
}
MAP_F(gelu)
{
    return x * vf_phi(x);
}
MAP_F(gelu_tanh)
{
    return x * vf_sigmoid(x * (x * x * 0.0713548163f + 1.59576912f));
}
MAP_D(silu)
{
    vf f, d;
    fd_silu(x, &f, &d);
    return d;
}
MAP_D(gelu)
{
    vf f, d;
    fd_gelu(x, &f, &d);
    return d;
}
MAP_D(gelu_tanh)
{
    vf f, d;
    fd_gelu_tanh(x, &f, &d);
    return d;
}

#endif
