-- tensor.einsum (see compose.lua): each pair of operands becomes one matrix product over the
-- letters that both have.

local compose = require "switchyard.tensor.compose"
local fail, shape_text, want_tensor, is_float, row
    = compose.fail, compose.shape_text, compose.want_tensor, compose.is_float, compose.row
local raw = require("switchyard.engine").raw

local function letters_of(what, text)
  if text:find("...", 1, true) then
    fail(what, "'...' is not understood: give every dimension a letter")
  end
  if text:find "[^%a]" then fail(what, "dimensions are letters: '%s'", text) end
  local list = {}
  for letter in text:gmatch "%a" do list[#list + 1] = letter end
  return list
end

local function place_of(list, letter)
  for i, other in ipairs(list) do
    if other == letter then return i end
  end
end

-- Letters that an operand has twice: their diagonal.
local function without_repeats(term)
  for i = 1, #term do
    local k = place_of(term, term[i])
    if k < i then
      local x, n = term.x, term.x.shape[i]
      local order = {}
      for d = 1, #term do if d ~= i and d ~= k then order[#order + 1] = d end end
      local rest = #order
      order[rest + 1], order[rest + 2] = k, i
      x = x:permute(order):flatten(rest + 1, rest + 2)
      term.x = n > 0 and raw.slice(x, {dim = rest + 1, first = 0, n = n, step = n + 1}) or x
      local letters = {x = term.x}
      for d = 1, rest do letters[d] = term[order[d]] end
      letters[rest + 1] = term[i]
      return without_repeats(letters)
    end
  end
  return term
end

-- The term without what no other term and not the result has.
local function summed(term, kept)
  local x, letters = term.x, {}
  for d = #term, 1, -1 do
    if kept[term[d]] then table.insert(letters, 1, term[d]) else x = x:sum(d) end
  end
  letters.x = x
  return letters
end

-- The term's dimensions in the order of these groups of letters, a dimension a group.
local function arranged(term, size, ...)
  local order, shape = {}, {}
  for g, group in ipairs {...} do
    shape[g] = 1
    for _, letter in ipairs(group) do
      order[#order + 1] = place_of(term, letter)
      shape[g] = shape[g] * size[letter]
    end
  end
  return term.x:permute(order):view(shape)
end

local function product(a, b, batch, left, right, inner, size)
  local x, y = arranged(a, size, batch, left, inner), arranged(b, size, batch, inner, right)
  if is_float(x) and #inner > 0 and x.size > 0 and y.size > 0 then return x:matmul(y) end
  x, y = x:unsqueeze(4), y:unsqueeze(2)
  return (#inner > 0 and (x * y):sum(3) or (x:squeeze(3) * y:squeeze(3)))
end

local function contracted(a, b, kept, size)
  local batch, left, right, inner, out = {}, {}, {}, {}, {}
  for _, letter in ipairs(a) do
    local group = not place_of(b, letter) and left or kept[letter] and batch or inner
    group[#group + 1] = letter
  end
  for _, letter in ipairs(b) do
    if not place_of(a, letter) then right[#right + 1] = letter end
  end
  local shape = {}
  for _, group in ipairs {batch, left, right} do
    for _, letter in ipairs(group) do
      out[#out + 1] = letter
      shape[#shape + 1] = size[letter]
    end
  end
  out.x = product(a, b, batch, left, right, inner, size):view(shape)
  return out
end

-- The result where none is written: letters that occur once, in order of the alphabet.
local function implied(terms)
  local times, out = {}, {}
  for _, term in ipairs(terms) do
    for _, letter in ipairs(term) do times[letter] = (times[letter] or 0) + 1 end
  end
  for letter, n in pairs(times) do if n == 1 then out[#out + 1] = letter end end
  table.sort(out)
  return out
end

local function read_terms(spec, list)
  local left, right = spec:gsub("%s", ""):match "^([^%-]*)%-?>?(.*)$"
  local terms, size = {}, {}
  for text in (left .. ","):gmatch "([^,]*)," do terms[#terms + 1] = letters_of("einsum", text) end
  if #terms ~= #list then
    fail("einsum", "'%s' names %d operands, %d were given", spec, #terms, #list)
  end
  for i, term in ipairs(terms) do
    term.x = want_tensor("einsum", list[i], "operand " .. i)
    if term.x.ndim ~= #term then
      fail("einsum", "operand %d is %s, '%s' has %d letters", i, shape_text(term.x),
        table.concat(term), #term)
    end
    for d, letter in ipairs(term) do
      local n = term.x.shape[d]
      if size[letter] and size[letter] ~= n then
        fail("einsum", "%s is %d and %d: operand %d is %s", letter, size[letter], n, i,
          shape_text(term.x))
      end
      size[letter] = n
    end
  end
  local out = spec:find(">", 1, true) and letters_of("einsum", right) or implied(terms)
  for i, letter in ipairs(out) do
    if not size[letter] then fail("einsum", "the result's %s is in no operand", letter) end
    if place_of(out, letter) < i then fail("einsum", "the result has %s twice", letter) end
  end
  return terms, out, size
end

row("einsum", 'tensor.einsum("ij,jk->ik", a, b, ...) -> y', "Einstein's sum: dimensions are "
  .. "letters; those that the result does not name are summed over the product of the operands. "
  .. "Without -> the result has the letters that occur once, in alphabetical order. Operands are "
  .. "taken from left to right, each pair by one matrix product.",
  'tensor.einsum("ij,kj->ik", a, b)',
  function(spec, ...)
    if type(spec) ~= "string" then
      fail("einsum", 'takes a text and tensors: tensor.einsum("ij,jk->ik", a, b)')
    end
    local terms, out, size = read_terms(spec, {...})
    for i, term in ipairs(terms) do terms[i] = without_repeats(term) end
    local result
    for i, term in ipairs(terms) do
      local kept = {}
      for _, letter in ipairs(out) do kept[letter] = true end
      for k = i + 1, #terms do
        for _, letter in ipairs(terms[k]) do kept[letter] = true end
      end
      local also = setmetatable({}, {__index = function(_, letter)
        return kept[letter] or result and place_of(result, letter)
      end})
      term = summed(term, also)
      result = result and summed(contracted(result, term, kept, size), kept) or summed(term, kept)
    end
    local order = {}
    for i, letter in ipairs(out) do order[i] = place_of(result, letter) end
    return (#order > 0 and result.x:permute(order) or result.x)
  end)
