-- Elements by lists, ranges, places and masks: a[{...}], a[mask], a[places], read and written, and
-- the methods that do the same (see compose.lua).
--
--  1. Numbers and ranges give views; places and masks give copies.
--  2. What depends on values (masks as an index, nonzero, unique) needs them: it is refused inside
--     a model's function, which is only recorded.

local engine = require "switchyard.engine"
local compose = require "switchyard.tensor.compose"
local fail, shape_text, is_tensor, want_tensor, whole, dimension, named, replaced, is_float, row
    = compose.fail, compose.shape_text, compose.is_tensor, compose.want_tensor, compose.whole,
      compose.dimension, compose.named, compose.replaced, compose.is_float, compose.row
local raw = engine.raw

local selection = {}

local function moved_to_front(x, d)
  local order = {d}
  for i = 1, x.ndim do if i ~= d then order[#order + 1] = i end end
  return x:permute(order)
end

local function moved_back(x, d)
  local order = {}
  for i = 2, x.ndim do order[#order + 1] = i end
  table.insert(order, d, 1)
  return x:permute(order)
end

-- Places, of a float tensor (tensor{1, 3}) where they are whole.
local function whole_places(s)
  if not is_float(s) then return s end
  if engine.tracing() then
    fail("index", "places are %s, must be i32, i64 or u8 inside a model's function", s.dtype)
  end
  if not s:eq(s:floor()):all():item() then fail("index", "places must be whole numbers") end
  return (s:cast "i32")
end

-- ---- elements by place ----

local picked = tensor.index_select -- the row: rows of x
row("index_select", "x:index_select(places, dim=1) -> y",
  "The elements along dim at the places of the list, which count from 1 (i32, i64 or u8).",
  "tensor.arange(4):index_select(tensor({4, 1}, {dtype = \"i32\"}))",
  function(x, places, ...)
    local o = named("index_select", {"dim"}, ...)
    local d = dimension("index_select", want_tensor("index_select", x), o.dim or 1)
    if type(places) == "table" then places = tensor(places, {dtype = "i32"}) end
    want_tensor("index_select", places, "places")
    if d == 1 then return (picked(x, places)) end
    return (moved_back(picked(moved_to_front(x, d), places), d))
  end)

row("nonzero", "x:nonzero() -> places (n, dimensions)", "The places of the elements that are not "
  .. "0, from 1 (i32), a row each in row-major order. Errors: inside a model's function.",
  "tensor{{0, 2}, {3, 0}}:nonzero()",
  function(x) return engine.places(want_tensor("nonzero", x), false) end)

row("masked_select", "x:masked_select(mask) -> y", "The elements where mask is true, in row-major "
  .. "order, as x[mask]; of a mask with fewer dimensions than x, rows. Errors: inside a model's "
  .. "function; shapes that differ.", "a:masked_select(a:gt(0))",
  function(x, mask)
    want_tensor("masked_select", x)
    want_tensor("masked_select", mask, "mask")
    if mask.dtype ~= "bool" then fail("masked_select", "mask is %s, must be bool", mask.dtype) end
    for i = 1, math.max(1, mask.ndim) do
      if mask.shape[i] ~= x.shape[i] then
        fail("masked_select", "shapes differ: x is %s, mask is %s", shape_text(x), shape_text(mask))
      end
    end
    local lines = mask.ndim == 1 and x or x:flatten(1, mask.ndim)
    return (picked(lines, engine.places(mask, true)))
  end)

row("unique", "x:unique() -> values, counts", "The different elements in ascending order, and how "
  .. "often each occurs (i64). Errors: inside a model's function.", "tensor{3, 1, 3}:unique()",
  function(x)
    local s = want_tensor("unique", x):detach():flatten():sort()
    local n = s.size
    if n == 0 then return s, tensor.zeros(0, {dtype = "i64"}) end
    local first = raw.cat(tensor{true}, s:narrow(1, 2, n - 1):ne(s:narrow(1, 1, n - 1)), {dim = 1})
    local at = engine.places(first, true):cast "i64"
    local ends = raw.cat(at:narrow(1, 2, at.size - 1), tensor({n + 1}, {dtype = "i64"}), {dim = 1})
    return picked(s, at), ends - at
  end)

row("slice", "x:slice(dim, first, last, step=1) -> y", "The elements first to last along dim, both "
  .. "included, or every step-th of them: a view. first and last may count from the end (-1). "
  .. "x[{{first, last}}] is the same of dimension 1.", "tensor.arange(10):slice(1, 2, -1, 3)",
  function(x, ...)
    local o = named("slice", {"dim", "first", "last", "step"}, ...)
    local d = dimension("slice", want_tensor("slice", x), o.dim or 1)
    local size = x.shape[d]
    local function place(v, name, preset)
      local i = whole("slice", v == nil and preset or v, name)
      return i < 0 and i + size + 1 or i
    end
    local first, last, step = place(o.first, "first", 1), place(o.last, "last", -1),
      whole("slice", o.step or 1, "step")
    if step < 1 then
      fail("slice", "step must be at least 1: it is %d; x:flip(dim) reverses", step)
    end
    if first < 1 or last > size or first > last + 1 then
      fail("slice", "%d to %d is outside 1..%d: dimension %d of %s", o.first or 1, o.last or -1,
        size, d, shape_text(x))
    end
    if step == 1 then return (x:narrow(d, first, last - first + 1)) end
    return (raw.slice(x, {dim = d, first = first - 1, n = (last - first) // step + 1, step = step}))
  end)

-- ---- a[...] ----

-- a[{2, {1, 3}, {}, places}]: a selector for each of the first dimensions.
local function by_list(x, list)
  local d = 1
  local n = rawlen(list)
  for key in pairs(list) do
    if math.type(key) ~= "integer" or key < 1 or key > n then
      fail("index", "a list of selectors has numbers 1..n as keys: %s is none", tostring(key))
    end
  end
  if n > x.ndim then fail("index", "%d selectors: the tensor is %s", n, shape_text(x)) end
  for i = 1, n do
    local s = list[i]
    if type(s) == "number" then
      local size, at = x.shape[d], math.tointeger(s)
      if not at or at == 0 or at < -size or at > size then
        fail("index", "%s is outside 1..%d: selector %d, the tensor is %s", tostring(s), size, i,
          shape_text(x))
      end
      x = raw.select(x, {dim = d, at = at > 0 and at - 1 or at + size})
    elseif type(s) == "table" then
      if rawlen(s) > 3 then
        fail("index", "a range is {first, last} or {first, last, step}: selector %d has %d numbers",
          i, rawlen(s))
      end
      if next(s) ~= nil then x = x:slice(d, s[1], rawlen(s) == 1 and s[1] or s[2], s[3]) end
      d = d + 1
    elseif is_tensor(s) then
      x = s.dtype == "bool" and x:index_select(engine.places(s, true), d) or
        x:index_select(whole_places(s), d)
      d = d + 1
    else
      fail("index", "selector %d must be a number, a range {first, last} or a tensor: it is a %s",
        i, type(s))
    end
  end
  return x
end

local function by_places(x, s)
  if s.dtype == "bool" then return x:masked_select(s) end
  if x.ndim == 0 then fail("index", "a scalar has no elements") end
  s = whole_places(s)
  if s.ndim == 1 then return picked(x, s) end
  local shape = table.move(s.shape, 1, s.ndim, 1, {})
  return picked(x, s:view(-1)):view(table.move(x.shape, 2, x.ndim, #shape + 1, shape))
end

-- a[key] for a list of selectors, or a tensor of places or truth values.
local function index(x, key)
  if is_tensor(key) then return by_places(x, key) end
  local y = by_list(x, key)
  -- A single number is a number, as a[i][j] is.
  if y.ndim == 0 and not y.requires_grad and not engine.tracing() then return y:item() end
  return y
end

local function is_view(list)
  for _, s in ipairs(list) do
    if is_tensor(s) then return false end
  end
  return true
end

-- v into the rows of x at these places.
local function put(x, places, v)
  if is_tensor(v) then v = v:detach():expand(replaced(x.shape, 1, places.size)) end
  engine.write_at(x, places, v)
end

-- a[key] = v for the same keys.
local function assign(x, key, v)
  if type(key) == "table" and is_view(key) then
    local y = by_list(x:detach(), key)
    y:fill(v)
    return
  end
  if type(key) == "table" then
    fail("assign", "a list of places is written alone: a[places] = v")
  end
  local flat, places = x:detach(), nil
  if key.dtype == "bool" then
    for i = 1, math.max(1, key.ndim) do
      if key.shape[i] ~= x.shape[i] then
        fail("assign", "shapes differ: the tensor is %s, the mask %s", shape_text(x),
          shape_text(key))
      end
    end
    places = engine.places(key, true)
    if key.ndim > 1 then flat = flat:flatten(1, key.ndim) end
  else
    places = whole_places(key):view(-1)
  end
  if engine.shares(flat, x) then return put(flat, places, v) end
  flat = flat:clone() -- the elements do not lie in order: by a copy
  put(flat, places, v)
  x:fill(flat:view(x.shape))
end

--- What C's __index and __newindex call.
function selection.index(...) return compose.checked("index", pcall(index, ...)) end
function selection.assign(...) return compose.checked("assign", pcall(assign, ...)) end

return selection
