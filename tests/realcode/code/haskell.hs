-- Orders of a shop.
module Shop.Orders (total, Order(..)) where

import Data.List
import qualified Data.Map as Map
import Data.Maybe (fromMaybe, isJust)

{- What one
   customer wants. -}
data Order = Order { items :: [Int], name :: String } | Empty

newtype Name = Name String
type Line = (String, Int)

class Rule a where
  holds :: a -> Bool

instance Rule Order where
  holds (Order xs _) = not (null xs)
  holds Empty = False

total :: Order -> Int
total (Order xs _) = sum xs
total Empty = 0
