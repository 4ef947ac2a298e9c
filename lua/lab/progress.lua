-- Long measurements: a line every 2 s with the time that is left, and turns for others.

local engine = require "switchyard.engine"

local EVERY = 2 -- seconds between two lines

--- progress(what, n, of) -> done(more): called after each part; `n` parts are to come, of is their
-- name ("evaluations").
return function(what, n, of)
  local began, told, at = engine.now(), engine.now(), 0
  return function()
    at = at + 1
    local now = engine.now()
    if now - told >= EVERY and at < n then
      told = now
      engine.line(("%s: %d/%d %s, %s left"):format(what, at, n, of,
        engine.duration((now - began) / at * (n - at))))
    end
    engine.breathe(false, what)
  end
end
