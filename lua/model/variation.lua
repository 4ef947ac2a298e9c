-- The squared coefficient of variation of x (E): variance / mean^2.

--- variation(x (E)) -> scalar
return function(x)
  local mean = x:mean()
  return (x - mean):square():mean() / (mean:square() + 1e-10)
end
