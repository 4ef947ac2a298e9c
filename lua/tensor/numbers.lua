-- Methods that compute: norms, truth, matrices; and constructors (see compose.lua).

local compose = require "switchyard.tensor.compose"
local fail, shape_text, want_tensor, whole, named, is_float, truth, row
    = compose.fail, compose.shape_text, compose.want_tensor, compose.whole, compose.named,
      compose.is_float, compose.truth, compose.row
local raw = require("switchyard.engine").raw

-- ---- reductions ----

row("std", "x:std(dim=all, keep=false, correction=1) -> y", "Standard deviation over dim or all: "
  .. "the root of x:var. It divides by n - correction, as PyTorch does; NumPy's is correction = 0.",
  "tensor{1, 2, 3, 4}:std()",
  function(x, ...)
    local o = named("std", {"dim", "keep", "correction"}, ...)
    return want_tensor("std", x):var(o):sqrt()
  end)

-- The root of s, where s is 0 with gradient 0 (it has none there, and infinity helps nobody).
local function root(s)
  local zero = s:eq(0)
  return zero:where(s * 0, zero:where(s * 0 + 1, s):sqrt())
end

local function largest(x, o)
  return x:abs():max(o)
end

row("norm", "x:norm(p=2, dim=all, keep=false) -> y", "The p-norm over dim or all: the p-th root of "
  .. "the sum of |x|^p; p = math.huge is the largest |x|, 0 the number of elements that are not 0. "
  .. "Of 0 the gradient is 0.", "tensor{3, 4}:norm()",
  function(x, ...)
    local o = named("norm", {"p", "dim", "keep"}, ...)
    local p, over = o.p or 2, {dim = o.dim, keep = o.keep}
    want_tensor("norm", x)
    if type(p) ~= "number" or not (p >= 0) then
      fail("norm", "p must be a number of at least 0: it is %s", tostring(p))
    end
    if x.dtype ~= "f32" and x.dtype ~= "f64" then
      fail("norm", "x is %s, must be f32 or f64", x.dtype)
    end
    if p == 2 then return root(x:square():sum(over)) end
    if p == 1 then return (x:abs():sum(over)) end
    if p == math.huge then return (largest(x, over)) end
    if p == 0 then return (x:ne(0):cast(x.dtype):sum(over)) end
    local s = x:abs():pow(p):sum(over)
    local zero = s:eq(0)
    return (zero:where(s * 0, zero:where(s * 0 + 1, s):pow(1 / p)))
  end)

row("any", "x:any(dim=all, keep=false) -> bool", "Where an element over dim, or of all, is not 0.",
  "tensor{0, 2}:any()",
  function(x, ...)
    return (want_tensor("any", x):ne(0):sum(named("any", {"dim", "keep"}, ...)):gt(0))
  end)

row("all", "x:all(dim=all, keep=false) -> bool", "Where all elements over dim, or all, are not 0.",
  "tensor{0, 2}:all()",
  function(x, ...)
    return (want_tensor("all", x):eq(0):sum(named("all", {"dim", "keep"}, ...)):eq(0))
  end)

-- ---- truth ----

row("logical_and", "a:logical_and(b) -> bool",
  "Where both are not 0, with broadcasting; a & b is the same.", "a:gt(0) & a:lt(1)",
  function(a, b) return (truth("logical_and", a):mul(truth("logical_and", b))) end)
row("logical_or", "a:logical_or(b) -> bool",
  "Where one of them is not 0, with broadcasting; a | b is the same.", "a:lt(0) | a:gt(1)",
  function(a, b) return (truth("logical_or", a):maximum(truth("logical_or", b))) end)
row("logical_xor", "a:logical_xor(b) -> bool",
  "Where just one of them is not 0, with broadcasting; a ~ b is the same. ~a is a:logical_not().",
  "a:gt(0) ~ a:lt(2)",
  function(a, b) return (truth("logical_xor", a):ne(truth("logical_xor", b))) end)

row("isnan", "x:isnan() -> bool", "Where x is no number.", "tensor{1, 0 / 0}:isnan()",
  function(x) return (want_tensor("isnan", x):ne(x)) end)
row("isinf", "x:isinf() -> bool", "Where x is infinite.", "tensor{1, 1 / 0}:isinf()",
  function(x) return (want_tensor("isinf", x):eq(math.huge) | x:eq(-math.huge)) end)
row("isfinite", "x:isfinite() -> bool", "Where x is neither infinite nor NaN.",
  "tensor{1, 1 / 0}:isfinite()",
  function(x) return (want_tensor("isfinite", x):lt(math.huge) & x:gt(-math.huge)) end)

row("masked_fill", "x:masked_fill(mask, v) -> y",
  "v where mask is true, else x; with broadcasting.", "a:masked_fill(a:gt(0), -1)",
  function(x, mask, v)
    want_tensor("masked_fill", x)
    return (truth("masked_fill", want_tensor("masked_fill", mask, "mask")):where(v, x))
  end)

-- ---- matrices and vectors ----

local function want_vector(what, x, name)
  if want_tensor(what, x, name).ndim ~= 1 then
    fail(what, "%s must have 1 dimension: it is %s", name, shape_text(x))
  end
end

local function want_matrix(what, x, least)
  if want_tensor(what, x).ndim < 2 or not least and x.ndim > 2 then
    fail(what, "x must have %s2 dimensions: it is %s", least and "at least " or "", shape_text(x))
  end
end

row("dot", "a:dot(b) -> y", "The sum of the products of two vectors' elements.",
  "tensor{1, 2}:dot(tensor{3, 4})",
  function(a, b)
    want_vector("dot", a, "a")
    want_vector("dot", b, "b")
    if a.size ~= b.size then
      fail("dot", "lengths differ: a is %s, b is %s", shape_text(a), shape_text(b))
    end
    return (is_float(a) and a.size > 0 and a:matmul(b) or a:mul(b):sum())
  end)

row("outer", "a:outer(b) -> y (n, m)",
  "The products of all elements of vector a with all of vector b.",
  "tensor{1, 2}:outer(tensor{3, 4})",
  function(a, b)
    want_vector("outer", a, "a")
    want_vector("outer", b, "b")
    return (a:view(-1, 1) * b:view(1, -1))
  end)

-- The k-th diagonal of a matrix (m, n) as a vector: every (n+1)-th of its elements.
local function diagonal(x, k)
  local m, n = x.shape[1], x.shape[2]
  local length = k >= 0 and math.min(m, n - k) or math.min(m + k, n)
  if length < 0 then length = 0 end
  if length == 0 then return (x:view(-1):narrow(1, 1, 0)) end
  local first = k >= 0 and k or -k * n
  return (raw.slice(x:view(-1), {dim = 1, first = first, n = length, step = n + 1}))
end

row("diag", "x:diag(k=0) -> y",
  "Of a matrix its k-th diagonal (above the main one; below if negative), of a vector the "
  .. "square matrix that has it there.",
  "tensor{{1, 2}, {3, 4}}:diag()",
  function(x, k)
    k = whole("diag", k or 0, "k")
    if want_tensor("diag", x).ndim == 2 then return diagonal(x, k) end
    if x.ndim ~= 1 then fail("diag", "x must have 1 or 2 dimensions: it is %s", shape_text(x)) end
    local n = x.size
    local side = n + math.abs(k)
    local y = x:view(n, 1):pad({dim = 2, before = 0, after = side})
      :view(-1):narrow(1, 1, n * side):view(n, side)
    if k >= 0 then
      return (y:pad({dim = 2, before = k, after = 0}):narrow(2, 1, side)
        :pad({dim = 1, before = 0, after = k}))
    end
    return (y:pad({dim = 1, before = -k, after = 0}))
  end)

row("trace", "x:trace() -> y", "The sum of a matrix's main diagonal.",
  "tensor{{1, 2}, {3, 4}}:trace()",
  function(x)
    want_matrix("trace", x)
    return (diagonal(x, 0):sum())
  end)

-- Whether column - row <= k, (m, n).
local function at_most(x, k)
  local m, n = x.shape[x.ndim - 1], x.shape[x.ndim]
  local i, j = tensor.arange(m, {dtype = "i64"}):view(m, 1),
    tensor.arange(n, {dtype = "i64"}):view(1, n)
  return (j - i):le(k)
end

row("tril", "x:tril(k=0) -> y",
  "The lower triangle of a matrix (or of the last two dimensions): 0 above the k-th diagonal.",
  "tensor.ones(3, 3):tril()",
  function(x, k)
    want_matrix("tril", x, true)
    return (at_most(x, whole("tril", k or 0, "k")):where(x, 0))
  end)

row("triu", "x:triu(k=0) -> y",
  "The upper triangle of a matrix (or of the last two dimensions): 0 below the k-th diagonal.",
  "tensor.ones(3, 3):triu()",
  function(x, k)
    want_matrix("triu", x, true)
    return (at_most(x, whole("triu", k or 0, "k") - 1):where(0, x))
  end)

-- ---- constructors ----

local function like(what, x, v, o)
  want_tensor(what, x)
  o = named(what, {"dtype", "grad"}, o)
  return tensor.full(x.shape, v, {dtype = o.dtype or x.dtype, grad = o.grad})
end

row("zeros_like", "tensor.zeros_like(x, {dtype=, grad=})",
  "Zeros of x's shape, and of its dtype unless given.", "tensor.zeros_like(a)",
  function(x, o) return like("zeros_like", x, 0, o) end)
row("ones_like", "tensor.ones_like(x, {dtype=, grad=})",
  "Ones of x's shape, and of its dtype unless given.", "tensor.ones_like(a)",
  function(x, o) return like("ones_like", x, 1, o) end)
row("full_like", "tensor.full_like(x, v, {dtype=, grad=})",
  "v in x's shape, and of its dtype unless given.", "tensor.full_like(a, 7)",
  function(x, v, o) return like("full_like", x, v, o) end)

row("linspace", "tensor.linspace(first, last, n, {dtype=, grad=})",
  "n numbers at equal distances from first to last, both included; f32 unless given.",
  "tensor.linspace(0, 1, 5)",
  function(first, last, n, o)
    o = named("linspace", {"dtype", "grad"}, o)
    for name, v in pairs {first = first, last = last} do
      if type(v) ~= "number" then
        fail("linspace", "%s must be a number: it is %s", name, compose.kind(v))
      end
    end
    if type(first) ~= "number" or type(last) ~= "number" then
      fail("linspace", "takes first, last and n: tensor.linspace(0, 1, 5)")
    end
    n = whole("linspace", n, "n", 0)
    local i = tensor.arange(n, {dtype = "f64"})
    local step = n > 1 and (last - first) / (n - 1) or 0.0
    local y = i:lt(n / 2):where(i * step + first,
      (i * -1 + (n - 1)) * -step + last):cast(o.dtype or "f32")
    return o.grad and y:grad(true) or y
  end)
