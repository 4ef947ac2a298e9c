-- Beam search: the sequences of highest probability that a width of them finds.
--
--  1. A step keeps the `width` best that go on; those that end among the best 2 width are finished.
--  2. score = log p / ((5 + length) / 6)^penalty: Wu et al. 2016, section 7.  It ends when no one
--     that goes on can be better than the worst of `width` finished ones.
--  3. Ties go to the earlier sequence, then to the lower id: equal bits give equal texts.

local beam = {}

local function normalized(score, length, penalty) return score / ((5 + length) / 6) ^ penalty end

-- What each of the live sequences may go on with, best first: {row=, id=, score=}.
local function candidates(live, logits, width)
  local n = math.min(2 * width, logits.shape[2])
  local values, index = logits:log_softmax(-1):topk(n)
  values, index = values:table(), index:table()
  local all = {}
  for row, sequence in ipairs(live) do
    for j = 1, n do
      local p = values[row][j]
      all[#all + 1] = {row = row, id = index[row][j] - 1,
                       score = p == p and sequence.score + p or -math.huge} -- no number is last
    end
  end
  table.sort(all, function(a, b)
    if a.score ~= b.score then return a.score > b.score end
    if a.row ~= b.row then return a.row < b.row end
    return a.id < b.id
  end)
  return all
end

local function longer(sequence, id)
  local ids = table.move(sequence.ids, 1, #sequence.ids, 1, {})
  ids[#ids + 1] = id
  return ids
end

-- Sorts, and keeps `width`.
local function keep_best(finished, width)
  table.sort(finished, function(a, b)
    if a.score ~= b.score then return a.score > b.score end
    return a.number < b.number
  end)
  for i = #finished, width + 1, -1 do finished[i] = nil end
end

local function settled(finished, live, o)
  if #finished < o.width then return false end
  return finished[o.width].score >= normalized(live[1].score, o.tokens, o.penalty)
end

--- beam.search({width=, tokens=, penalty=, stop= id or nil}, logits (1,V), step) -> list of {ids=,
-- score=}, best first; without the stop.  step(ids, rows) -> logits (>= #ids, V) after sequence
-- rows[i] went on with ids[i].
function beam.search(o, logits, step)
  local live, finished, number = {{ids = {}, score = 0}}, {}, 0
  local function finish(ids, score, length, ended)
    number = number + 1
    finished[#finished + 1] = {ids = ids, score = normalized(score, length, o.penalty),
                               number = number, ended = ended}
  end
  for n = 1, o.tokens do
    local on, ids, rows = {}, {}, {}
    local best = candidates(live, logits, o.width)
    for rank = 1, math.min(2 * o.width, #best) do -- of a live one one ends: enough go on
      local c = best[rank]
      local sequence = live[c.row]
      if c.id == o.stop then finish(sequence.ids, c.score, n, true)
      elseif #on < o.width then
        on[#on + 1] = {ids = longer(sequence, c.id), score = c.score}
        ids[#on], rows[#on] = c.id, c.row
      end
    end
    keep_best(finished, o.width)
    live = on
    if #on == 0 or settled(finished, live, o) then break end
    if n < o.tokens then logits = step(ids, rows) end
  end
  if #finished < o.width then
    for _, s in ipairs(live) do finish(s.ids, s.score, #s.ids) end
    keep_best(finished, o.width)
  end
  return finished
end

return beam
