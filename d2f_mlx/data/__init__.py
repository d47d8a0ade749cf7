"""Film scans become batches of crops: streams, splits by roll, and a meter for the time they take."""

from .alterations import ALTERATIONS as ALTERATIONS
from .crops import grid_crops as grid_crops
from .crops import random_crops as random_crops
from .meter import Meter as Meter
from .split import roll_names as roll_names
from .split import split_by_roll as split_by_roll
from .streams import StreamConfig as StreamConfig
from .streams import crop_batches as crop_batches
from .streams import usable as usable
