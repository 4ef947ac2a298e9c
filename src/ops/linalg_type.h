/* The LAPACK calls for one element type; included by linalg.c once each with T, P (LAPACK's name)
 * and F (our name) defined.  No include guard for that reason. */

static void F(transpose)(const T *x, int64_t rows, int64_t cols, T *y)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            y[j * rows + i] = x[i * cols + j];
}

/* x (m,n): LAPACK sees x' = V S U'; its left vectors are our vh, row by row, and its right ones
 * u. */
static int F(svd)(const struct sy_run *x)
{
    int m = (int)x->in[0]->shape[0], n = (int)x->in[0]->shape[1], k = m < n ? m : n;
    int lwork = -1, info = 0;
    T want;
    T *u = sy_data(x->out[0]), *s = sy_data(x->out[1]), *vh = sy_data(x->out[2]);
    T *a = sy_alloc((size_t)m * (size_t)n * sizeof *a), *work = NULL;
    int *iwork = sy_alloc(8 * (size_t)k * sizeof *iwork);
    if (a)
        memcpy(a, sy_data(x->in[0]), (size_t)m * (size_t)n * sizeof *a);
    P(gesdd_)("S", &n, &m, a, &n, s, vh, &n, u, &k, &want, &lwork, iwork, &info);
    lwork = (int)want + 1;
    work = sy_alloc((size_t)lwork * sizeof *work);
    bool room = a && iwork && work;
    if (room)
        P(gesdd_)("S", &n, &m, a, &n, s, vh, &n, u, &k, work, &lwork, iwork, &info);
    sy_free(a);
    sy_free(work);
    sy_free(iwork);
    if (!room)
        return no_memory("svd", x->err);
    return info ? sy_err_set(x->err, SY_E_NUMERIC, "svd: no convergence") : 0;
}

/* x (m,n) = q (m,k) r (k,n) by Householder reflections. */
static int F(qr)(const struct sy_run *x)
{
    int m = (int)x->in[0]->shape[0], n = (int)x->in[0]->shape[1], k = m < n ? m : n, info = 0;
    int lwork = 64 * (m > n ? m : n);
    T *q = sy_data(x->out[0]), *r = sy_data(x->out[1]);
    T *a = sy_alloc((size_t)m * (size_t)n * sizeof *a), *tau = sy_alloc((size_t)k * sizeof *tau);
    T *work = sy_alloc((size_t)lwork * sizeof *work);
    bool room = a && tau && work;
    if (room) {
        F(transpose)(sy_data(x->in[0]), m, n, a); /* column-major x */
        P(geqrf_)(&m, &n, a, &m, tau, work, &lwork, &info);
        for (int i = 0; i < k; i++)
            for (int j = 0; j < n; j++)
                r[(int64_t)i * n + j] = j < i ? 0 : a[(int64_t)j * m + i];
        P(orgqr_)(&m, &k, &k, a, &m, tau, work, &lwork, &info);
        F(transpose)(a, k, m, q);
    }
    sy_free(a);
    sy_free(tau);
    sy_free(work);
    return room ? 0 : no_memory("qr", x->err);
}

/* Symmetric x (its lower triangle is read): values ascending, vectors in the columns of v. */
static int F(eigh)(const struct sy_run *x)
{
    int n = (int)x->in[0]->shape[0], lwork = -1, liwork = -1, info = 0, iwant;
    T want;
    T *values = sy_data(x->out[0]), *work = NULL;
    T *a = sy_alloc((size_t)n * (size_t)n * sizeof *a);
    int *iwork = NULL;
    if (a)
        memcpy(a, sy_data(x->in[0]), (size_t)n * (size_t)n * sizeof *a);
    P(syevd_)("V", "U", &n, a, &n, values, &want, &lwork, &iwant, &liwork, &info);
    lwork = (int)want + 1;
    liwork = iwant;
    work = sy_alloc((size_t)lwork * sizeof *work);
    iwork = sy_alloc((size_t)liwork * sizeof *iwork);
    bool room = a && work && iwork;
    if (room) {
        P(syevd_)("V", "U", &n, a, &n, values, work, &lwork, iwork, &liwork, &info);
        F(transpose)(a, n, n, sy_data(x->out[1]));
    }
    sy_free(a);
    sy_free(work);
    sy_free(iwork);
    if (!room)
        return no_memory("eigh", x->err);
    return info ? sy_err_set(x->err, SY_E_NUMERIC, "eigh: no convergence") : 0;
}

static int F(solve)(const struct sy_run *x)
{
    int n = (int)x->in[0]->shape[0], k = x->in[1]->ndim == 2 ? (int)x->in[1]->shape[1] : 1,
        info = 0;
    T *a = sy_alloc((size_t)n * (size_t)n * sizeof *a),
      *b = sy_alloc((size_t)n * (size_t)k * sizeof *b);
    int *pivot = sy_alloc((size_t)n * sizeof *pivot);
    bool room = a && b && pivot;
    if (room) {
        F(transpose)(sy_data(x->in[0]), n, n, a);
        F(transpose)(sy_data(x->in[1]), n, k, b);
        P(gesv_)(&n, &k, a, &n, pivot, b, &n, &info);
        F(transpose)(b, k, n, sy_data(x->out[0]));
    }
    sy_free(a);
    sy_free(b);
    sy_free(pivot);
    if (!room)
        return no_memory("solve", x->err);
    return info ? singular("solve", info, x->err) : 0;
}

/* Lower triangle l with l l' = x (x's lower triangle is read). */
static int F(cholesky)(const struct sy_run *x)
{
    int n = (int)x->in[0]->shape[0], info = 0;
    T *l = sy_data(x->out[0]);
    memmove(l, sy_data(x->in[0]), (size_t)n * (size_t)n * sizeof *l);
    P(potrf_)("U", &n, l, &n, &info);
    if (info)
        return sy_err_set(x->err, SY_E_NUMERIC,
                          "cholesky: the matrix is not positive definite: leading minor %d", info);
    for (int i = 0; i < n; i++)
        memset(l + (int64_t)i * n + i + 1, 0, (size_t)(n - 1 - i) * sizeof *l);
    return 0;
}

static int F(inverse)(const struct sy_run *x)
{
    int n = (int)x->in[0]->shape[0], info = 0, lwork = 64 * n;
    T *y = sy_data(x->out[0]), *work = sy_alloc((size_t)lwork * sizeof *work);
    int *pivot = sy_alloc((size_t)n * sizeof *pivot);
    bool room = work && pivot;
    if (room) {
        memmove(y, sy_data(x->in[0]), (size_t)n * (size_t)n * sizeof *y);
        P(getrf_)(&n, &n, y, &n, pivot, &info);
        if (!info)
            P(getri_)(&n, y, &n, pivot, work, &lwork, &info);
    }
    sy_free(work);
    sy_free(pivot);
    if (!room)
        return no_memory("inverse", x->err);
    return info ? singular("inverse", info, x->err) : 0;
}

static int F(det)(const struct sy_run *x)
{
    int n = (int)x->in[0]->shape[0], info = 0;
    T *a = sy_alloc((size_t)n * (size_t)n * sizeof *a), d = 1;
    int *pivot = sy_alloc((size_t)n * sizeof *pivot);
    bool room = a && pivot;
    if (room) {
        memcpy(a, sy_data(x->in[0]), (size_t)n * (size_t)n * sizeof *a);
        P(getrf_)(&n, &n, a, &n, pivot, &info);
        for (int i = 0; i < n; i++)
            d *= pivot[i] != i + 1 ? -a[(int64_t)i * n + i] : a[(int64_t)i * n + i];
        *(T *)sy_data(x->out[0]) = d;
    }
    sy_free(a);
    sy_free(pivot);
    return room ? 0 : no_memory("det", x->err);
}
