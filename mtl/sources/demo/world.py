"""The words of the demo's world: people, places and things, and what some of them mean in other words.

Plain tables without logic. A `GLOSSES` entry says a value in other words, so that a question can ask for the
meaning of what a passage says instead of its wording.
"""

from collections.abc import Mapping
from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


def _glosses(text: str) -> Mapping[str, str]:
    return dict(line.split(" = ", 1) for line in _lines(text))


WOMEN: Final = _words("""
Anna Maria Laura Emma Olivia Sophie Grace Alice Julia Clara Nora Ellen Ruth Helen Diana Rosa Eva Lucy Mary Jane Kate
Susan Linda Karen Nancy Betty Sandra Donna Carol Amy Angela Brenda Pamela Nicole Rachel Megan Hannah Judith Cheryl
Martha Teresa Gloria Sara Janice Marie Judy Beverly Denise Marilyn Amber Danielle Rose Brittany Doris Abigail Sophia
""")
MEN: Final = _words("""
Tom Peter Paul John James Robert Michael David Richard Joseph Thomas Charles Daniel Matthew Anthony Mark Donald Steven
Andrew Joshua Kenneth Kevin Brian George Edward Ronald Timothy Jason Jeffrey Ryan Jacob Gary Nicholas Eric Jonathan
Stephen Larry Justin Scott Brandon Benjamin Samuel Gregory Frank Alexander Raymond Patrick Jack Dennis Jerry Oscar
""")
SURNAMES: Final = _words("""
Smith Johnson Brown Jones Miller Davis Wilson Anderson Taylor Moore Jackson Martin Lee Thompson White Harris Clark
Lewis Robinson Walker Young Allen King Wright Hill Green Adams Nelson Baker Hall Campbell Mitchell Carter Roberts
Evans Turner Parker Collins Edwards Stewart Morris Murphy Cook Rogers Morgan Cooper Peterson Reed Bailey Bell Kelly
Howard Ward Cox Watson Brooks Wood Bennett Gray Hughes
""")
TOWNS: Final = _words("""
Leeds York Bath Oxford Derby Dover Exeter Bristol Norwich Lincoln Chester Durham Ripon Wells Truro Cardiff Swansea
Newport Perth Dundee Stirling Dublin Cork Galway Paris Lyon Nice Lille Nantes Bordeaux Berlin Munich Hamburg Cologne
Bremen Dresden Vienna Salzburg Graz Zurich Basel Geneva Bern Milan Turin Venice Florence Naples Rome Madrid Seville
Malaga Lisbon Porto Oslo Bergen Stockholm Uppsala Helsinki Turku Copenhagen Aarhus Warsaw Krakow Prague Brno Budapest
Zagreb Split Athens Boston Denver Dallas Houston Chicago Seattle Portland Austin Miami Atlanta Phoenix Toronto Ottawa
Montreal Calgary Sydney Melbourne Brisbane Adelaide Auckland Wellington Tokyo Osaka Kyoto Seoul Busan Lima Quito
""")
PET_NAMES: Final = _words("""
Rex Max Bella Coco Milo Ruby Simba Luna Felix Misty Rocky Shadow Pepper Ginger Buddy Daisy Toby Lucky Oreo Snowy
""")
DAYS: Final = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS: Final = _words("January February March April May June July August September October November December")
SMALL_NUMBERS: Final = tuple(str(n) for n in range(2, 13))
AGES: Final = tuple(str(n) for n in range(20, 66))
BIG_NUMBERS: Final = tuple(str(n) for n in range(14, 100, 2))

JOBS: Final = _glosses("""
a doctor = makes sick people well
a teacher = explains things to children
a baker = makes bread and cakes
a farmer = grows food on the land
a pilot = flies people through the air
a nurse = takes care of people in a hospital
a cook = prepares meals for guests
a writer = puts stories on paper
a painter = makes pictures with colours
a judge = decides who has broken the law
a singer = uses the voice to please a crowd
a dentist = looks after teeth
a sailor = spends long weeks at sea
a tailor = cuts and sews clothes
a lawyer = speaks for people in court
a mechanic = repairs broken cars
a gardener = looks after flowers and trees
a builder = puts up new houses
a fisherman = catches things that swim
a postman = brings letters to every door
a photographer = takes pictures with a camera
a librarian = lends books to readers
a soldier = serves in the army
a vet = treats sick animals
""")
PETS: Final = _glosses("""
a dog = barks at strangers
a cat = catches mice
a parrot = repeats human words
a horse = can carry a rider
a rabbit = has very long ears
a fish = lives in water
a snake = moves without legs
a turtle = carries a hard shell
a hen = lays eggs
a sheep = gives wool
a goat = gives milk
a pony = is like a small horse
""")
VENUES: Final = _glosses("""
library = a quiet house full of books
museum = a building that shows old things
market = an open place where people buy things
park = a green place with trees and grass
cinema = a dark hall where films are shown
gym = a room for training the body
beach = a sandy place beside the sea
church = a building where people pray
zoo = a garden with wild animals
theatre = a house with a stage for plays
station = a place where trains stop
restaurant = a room where meals are served
""")
REASONS: Final = _glosses("""
wanted to save money = hoped to spend less
wanted to make new friends = felt lonely
needed more rest = was too tired
wanted to be healthy = cared about the body
was bored at home = looked for something interesting
needed a quiet place = could not stand the noise
wanted to earn more = did not have enough money
loved nature = liked to be outdoors
wanted to help others = had a kind heart
liked to learn = enjoyed new knowledge
""")
EVENTS: Final = _glosses("""
won a prize = felt proud
lost an old ring = felt sad
missed the last bus = felt angry
heard a strange noise = felt afraid
met an old friend = felt happy
got a gift from a stranger = felt surprised
waited three hours in the rain = felt cold and wet
broke a neighbour's window = felt sorry
passed a hard test = felt relieved
moved heavy boxes all day = felt very tired
""")
WISHES: Final = _glosses("""
opening a small shop = would like to own a business
seeing the whole world = would like to travel far
becoming famous = would like to be known by everyone
having many children = would like a large family
living on an island = would like water on every side
writing a book = would like to be an author
climbing a high mountain = would like to stand on a peak
buying a fast car = would like to drive at great speed
learning to swim = would like to feel safe in water
going back to school = would like to study again
""")
ACTS: Final = _lines("""
moved to another street
changed jobs
joined a club
bought a bike
learned a new language
started to run
stopped watching television
began to grow vegetables
took an evening class
rented a small house
""")
FOODS: Final = _words("""
rice soup bread cheese salad noodles pasta porridge toast eggs fruit yogurt honey pancakes beans ham apples bananas
grapes cereal
""")
INSTRUMENTS: Final = _words("piano guitar violin flute drums trumpet harp cello organ clarinet banjo saxophone")
TRANSPORTS: Final = tuple(f"by {x}" for x in _words("bus train car bike boat taxi tram metro motorbike ferry"))
RELATIVES: Final = _words("cousin friend neighbour boss partner guest teammate")

POOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "job": tuple(JOBS),
    "town": TOWNS,
    "place": TOWNS,
    "pet": tuple(PETS),
    "petname": PET_NAMES,
    "food": FOODS,
    "instrument": INSTRUMENTS,
    "transport": TRANSPORTS,
    "years": SMALL_NUMBERS,
    "age": AGES,
    "month": MONTHS,
    "relative": RELATIVES,
    "companion": WOMEN + MEN,
    "act": ACTS,
    "why": tuple(REASONS),
    "day": DAYS,
    "weekday": DAYS,
    "event": tuple(EVENTS),
    "venue": tuple(VENUES),
    "wish": tuple(WISHES),
}
GLOSSES: Final[Mapping[str, Mapping[str, str]]] = {
    "job": JOBS,
    "pet": PETS,
    "venue": VENUES,
    "why": REASONS,
    "event": EVENTS,
    "wish": WISHES,
}
