-- Methods that give tensors other shapes and join, cut and move them (see compose.lua).

local engine = require "switchyard.engine"
local compose = require "switchyard.tensor.compose"
local fail, shape_text, want_tensor, whole, dimension, named, replaced, row
    = compose.fail, compose.shape_text, compose.want_tensor, compose.whole, compose.dimension,
      compose.named, compose.replaced, compose.row
local raw = engine.raw

-- Sizes as numbers or as one list.
local function sizes(...)
  local first = ...
  return type(first) == "table" and first or {...}
end

-- The list of tensors of stack and cat.
local function tensors(what, list)
  if type(list) ~= "table" then
    fail(what, "takes a list of tensors, tensor.%s({a, b}, dim): it is %s", what,
      compose.kind(list))
  end
  if #list == 0 then fail(what, "the list has no tensors") end
  for i = 1, #list do want_tensor(what, list[i], "element " .. i) end
  return list
end

-- ---- shapes ----

row("reshape", "x:reshape(n, ...) -> y", "The same elements in row-major order in another shape; "
  .. "one size may be -1. Shares storage where x's elements lie in order, else it is a copy; "
  .. "x:view is the same.", "tensor.arange(6):reshape(2, -1)",
  function(x, ...) return (want_tensor("reshape", x):view(...)) end)

row("flatten", "x:flatten(first=1, last=-1) -> y", "Dimensions first to last as one.",
  "tensor.zeros(2, 3, 4):flatten(2).shape",
  function(x, ...)
    local o = named("flatten", {"first", "last"}, ...)
    if want_tensor("flatten", x).ndim == 0 then return (x:view(1)) end
    local first, last = dimension("flatten", x, o.first or 1), dimension("flatten", x, o.last or -1)
    if last < first then fail("flatten", "dimension %d stands before %d", last, first) end
    local shape, n = {}, 1
    for i, size in ipairs(x.shape) do
      if i >= first and i <= last then n = n * size end
      if i < first or i > last then shape[#shape + 1] = size
      elseif i == last then shape[#shape + 1] = n end
    end
    return (x:view(shape))
  end)

row("squeeze", "x:squeeze(dim) -> y",
  "Without the dimension dim, whose size is 1; without all of size 1 unless dim is given. A view.",
  "tensor.zeros(1, 3, 1):squeeze().shape",
  function(x, dim)
    want_tensor("squeeze", x)
    local d = dim ~= nil and dimension("squeeze", x, dim)
    if d and x.shape[d] ~= 1 then
      fail("squeeze", "dimension %d has %d elements: the tensor is %s", d, x.shape[d],
        shape_text(x))
    end
    for i = x.ndim, 1, -1 do
      if x.shape[i] == 1 and (not d or i == d) then x = raw.select(x, {dim = i, at = 0}) end
    end
    return x
  end)

row("unsqueeze", "x:unsqueeze(dim) -> y",
  "With a new dimension of size 1, which becomes dimension dim. A view.",
  "tensor.zeros(3):unsqueeze(2).shape",
  function(x, dim)
    want_tensor("unsqueeze", x)
    local d, order = dimension("unsqueeze", x, dim, 1), {}
    for i = 2, x.ndim + 1 do order[i - 1] = i end
    table.insert(order, d, 1)
    return (x:expand(1, table.unpack(x.shape)):permute(order))
  end)

-- Halves of halves: n tensors are copied log n times, not n.
local function joined(list, d, from, to)
  if from == to then return list[from] end
  local middle = (from + to) // 2
  return (raw.cat(joined(list, d, from, middle), joined(list, d, middle + 1, to), {dim = d}))
end

local function beside(a, b, d)
  if a.ndim ~= b.ndim then return false end
  for i = 1, a.ndim do
    if i ~= d and a.shape[i] ~= b.shape[i] then return false end
  end
  return true
end

local two = tensor.cat -- the row: a:cat(b, dim)
row("cat", "a:cat(b, dim=1) -> y    tensor.cat({a, b, ...}, dim=1) -> y",
  "Tensors one after the other along dim.",
  "tensor.cat({a, b, a}, 2).shape",
  function(list, ...)
    if type(list) ~= "table" then return (two(list, ...)) end
    local o = named("cat", {"dim"}, ...)
    tensors("cat", list)
    local d = dimension("cat", list[1], o.dim or 1)
    for i = 2, #list do
      if not beside(list[1], list[i], d) then
        fail("cat", "shapes differ beside dimension %d: element 1 is %s, element %d is %s", d,
          shape_text(list[1]), i, shape_text(list[i]))
      end
    end
    return joined(list, d, 1, #list)
  end)

row("stack", "tensor.stack({a, b, ...}, dim=1) -> y", "Tensors of one shape along a new dimension.",
  "tensor.stack({a, b}).shape",
  function(list, ...)
    local o = named("stack", {"dim"}, ...)
    tensors("stack", list)
    local d, parts = dimension("stack", list[1], o.dim or 1, 1), {}
    for i, t in ipairs(list) do
      if not beside(list[1], t) then
        fail("stack", "shapes differ: element 1 is %s, element %d is %s", shape_text(list[1]), i,
          shape_text(t))
      end
      parts[i] = t:unsqueeze(d)
    end
    return joined(parts, d, 1, #parts)
  end)

local function parts_of(x, d, list)
  local out, at = {}, 1
  for i, n in ipairs(list) do
    out[i] = x:narrow(d, at, n)
    at = at + n
  end
  return engine.list(out)
end

row("split", "x:split(n or {n, ...}, dim=1) -> list", "Parts of n elements along dim (the last may "
  .. "have fewer), or of these sizes: views. x:chunk takes the number of parts.",
  "tensor.arange(5):split(2)",
  function(x, n, ...)
    local o = named("split", {"dim"}, ...)
    local d = dimension("split", want_tensor("split", x), o.dim or 1)
    local size = x.shape[d]
    if type(n) ~= "table" then
      n = whole("split", n, "n", 1)
      local list = {}
      for at = 0, size - 1, n do list[#list + 1] = math.min(n, size - at) end
      return parts_of(x, d, list)
    end
    local sum = 0
    for i = 1, #n do sum = sum + whole("split", n[i], "size " .. i, 0) end
    if sum ~= size then
      fail("split", "the sizes add up to %d: dimension %d of %s has %d", sum, d,
        shape_text(x), size)
    end
    return parts_of(x, d, n)
  end)

row("chunk", "x:chunk(n, dim=1) -> list",
  "n parts along dim, as equal as can be, the larger first: views.", "tensor.arange(5):chunk(2)",
  function(x, n, ...)
    local o = named("chunk", {"dim"}, ...)
    local d = dimension("chunk", want_tensor("chunk", x), o.dim or 1)
    n = whole("chunk", n, "n", 1)
    local size, list = x.shape[d], {}
    for i = 1, n do list[i] = size // n + (i <= size % n and 1 or 0) end
    return parts_of(x, d, list)
  end)

row("tile", "x:tile(n, ...) -> y",
  "x n times along each dimension, the last numbers for the last dimensions.",
  "tensor.arange(2):tile(2, 3)",
  function(x, ...)
    local times = sizes(...)
    want_tensor("tile", x)
    if #times == 0 then fail("tile", "n is missing") end
    for i = 1, #times do whole("tile", times[i], "number " .. i, 0) end
    while x.ndim < #times do x = x:unsqueeze(1) end
    for i = 1, #times do
      local d = x.ndim - #times + i
      if times[i] ~= 1 then
        local shape, outer, inner = x.shape, 1, 1
        for k, n in ipairs(shape) do
          if k < d then outer = outer * n else inner = inner * n end
        end
        x = x:view(outer, 1, inner):expand(outer, times[i], inner)
          :view(replaced(shape, d, shape[d] * times[i]))
      end
    end
    return x
  end)

local function reversed(n) return tensor.arange(n, 0, -1, {dtype = "i32"}) end

row("flip", "x:flip(dim, ...) -> y", "The elements along these dimensions in reverse.",
  "tensor.arange(4):flip(1)",
  function(x, ...)
    local dims = sizes(...)
    want_tensor("flip", x)
    if #dims == 0 then fail("flip", "dim is missing") end
    for _, dim in ipairs(dims) do
      local d = dimension("flip", x, dim)
      x = x:index_select(reversed(x.shape[d]), d)
    end
    return x
  end)

row("roll", "x:roll(n, dim) -> y", "Elements moved by n along dim, those that leave come in at the "
  .. "other end; over all elements in row-major order unless dim is given.",
  "tensor.arange(5):roll(2)",
  function(x, n, ...)
    local o = named("roll", {"dim"}, ...)
    if o.dim == nil then
      want_tensor("roll", x)
      return (x:flatten():roll(n, 1):view(x.shape))
    end
    local d = dimension("roll", want_tensor("roll", x), o.dim)
    local size = x.shape[d]
    n = size > 0 and whole("roll", n, "n") % size or 0
    if n == 0 then return x end
    return (raw.cat(x:narrow(d, size - n + 1, n), x:narrow(d, 1, size - n), {dim = d}))
  end)
