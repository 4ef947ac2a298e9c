-- Which K of E experts a token id has: a table that is drawn once, by seed, and never learned.
-- Roller et al. 2021.
--
--  1. The K experts of an id differ, and what an id has depends on (seed, layer, id, E, K) alone.

local kept, order = {}, {} -- tables of before by what they are of: a model is traced several times
local MOST = 16

-- splitmix64: the next state, and a number of 63 bits.
local function draw(state)
  state = state + 0x9E3779B97F4A7C15
  local z = (state ~ (state >> 30)) * 0xBF58476D1CE4E5B9
  z = (z ~ (z >> 27)) * 0x94D049BB133111EB
  return state, (z ~ (z >> 31)) >> 1
end

-- K of 1..E: the first K of a shuffle.
local function row_of(seed, layer, id, E, K)
  local state, n = draw(seed)
  state, n = draw(n ~ layer) -- no layer of a seed has what another layer of another seed has
  state = n ~ (id * 0x632BE59BD9B4E019)
  local row, moved = {}, {}
  for k = 1, K do
    state, n = draw(state)
    local at = k + n % (E - k + 1)
    row[k] = moved[at] or at
    moved[at] = moved[k] or k
  end
  return row
end

--- The table (V,K) f32 of V ids, experts from 1.
return function(V, E, K, seed, layer)
  local key = ("%d %d %d %d %d"):format(V, E, K, seed, layer)
  if not kept[key] then
    local rows = {} -- no operation makes it: that would be one of the program being recorded
    for id = 0, V - 1 do rows[id + 1] = row_of(seed, layer, id, E, K) end
    kept[key] = tensor(rows, {dtype = "f32"})
    order[#order + 1] = key
    if #order > MOST then kept[table.remove(order, 1)] = nil end
  end
  return kept[key]
end
