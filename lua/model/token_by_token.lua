-- Does a model write what it says of whole texts?  In mode "decode" its function sees one token at
-- a time, and those before through nn.attention alone: a model that looks at others in a way of its
-- own would write garbage.  So the first generation at each step compares.

local PROBE, TOLERANCE = 3, 1e-5 -- tokens; of the largest logit.  Ours differ by nothing.

local function difference(a, b) return (a - b):abs():max():item() end

--- Ids to be tried, as many as fit.
local function probe(m, most)
  local ids = {}
  for i = 1, math.min(PROBE, most) do ids[i] = i * 7919 % m.cfg.vocab end
  return ids
end

--- Raise unless tokens one by one get the logits that they get in a whole text; looked at once
-- while no step changes the model (own.checked).  whole(draw) -> (n,V), what is drawn keyed by
-- draw; alone(i) -> (V), called for 1 .. n.  What draws at random when it is evaluated has no such
-- logits.
local function check(what, m, own, whole, alone)
  local step = m._run and m._run:status().step or 0
  if own.checked == step then return end
  local all = whole(0)
  local most = TOLERANCE * all:abs():max():item()
  for i = 1, all.shape[1] do
    local off = difference(alone(i), all[i])
    if off > most and difference(all, whole(1)) == 0 then
      error(("%s: model.%s looks at other tokens by itself: token %d alone, after those before it, "
        .. "gets other logits than in a whole text (off by %.3g). Only nn.attention keeps what a "
        .. "token needs of others"):format(what, m.family, i, off), 0)
    end
  end
  own.checked = step
end

return {probe = probe, check = check}
