//! What is in the sample: customers, products, orders and reviews of a shop, the same ones every time.

use serde_json::{Map, Value, json};
use teeline::Timestamp;

/// When everything in the sample was written: 2026-01-01.
pub(super) const WRITTEN_MS: i64 = 1_767_225_600_000;
const DAY_MS: u64 = 86_400_000;

pub(super) const CUSTOMERS: &str = "customers";
pub(super) const PRODUCTS: &str = "products";
pub(super) const ORDERS: &str = "orders";
pub(super) const REVIEWS: &str = "reviews";
pub(super) const RESOURCES: [&str; 4] = [CUSTOMERS, PRODUCTS, ORDERS, REVIEWS];

/// How many records of each resource there are, and what is in them.
pub(super) struct Shop {
    customers: u64,
    products: u64,
    orders: u64,
    reviews: u64,
}

impl Shop {
    pub(super) fn new(records: u64) -> Self {
        let (customers, products, orders) = (records / 5, records / 10, records / 2);
        Shop {
            customers,
            products,
            orders,
            reviews: records - customers - products - orders,
        }
    }

    pub(super) fn count(&self, resource: &str) -> u64 {
        match resource {
            CUSTOMERS => self.customers,
            PRODUCTS => self.products,
            ORDERS => self.orders,
            _ => self.reviews,
        }
    }

    /// A record, by its number; the same one every time.
    pub(super) fn document(&self, resource: &str, number: u64) -> Map<String, Value> {
        let mut random = Random::new(resource, number);
        let document = match resource {
            CUSTOMERS => customer(number, &mut random),
            PRODUCTS => product(number, &mut random),
            ORDERS => self.order(number, &mut random),
            _ => self.review(number, &mut random),
        };
        match document {
            Value::Object(document) => document,
            _ => Map::new(),
        }
    }

    fn order(&self, number: u64, random: &mut Random) -> Value {
        let status = random.pick(&[
            "pending",
            "processing",
            "shipped",
            "delivered",
            "delivered",
            "cancelled",
        ]);
        let mut cents = 0;
        let lines: Vec<Value> = (0..=random.below(4))
            .map(|_| {
                let (quantity, price) = (1 + random.below(3), 199 + random.below(20_000));
                cents += quantity * price;
                let product = id("product", random.below(self.products.max(1)));
                json!({ "productId": product, "quantity": quantity, "price": amount(price) })
            })
            .collect();
        let mut order = json!({
            "id": id("order", number),
            "customerId": id("customer", random.below(self.customers.max(1))),
            "status": status,
            "orderedAt": random.time(700),
            "paid": matches!(status, "shipped" | "delivered"),
            "total": amount(cents),
            "lines": lines,
            "shipping": {
                "method": random.pick(&["parcel", "letter", "pickup"]),
                "city": random.pick(&CITIES).0,
                "express": random.below(5) == 0,
            },
        });
        if random.below(3) == 0 {
            order["note"] = random.text(3, 9).into();
        }
        order
    }

    fn review(&self, number: u64, random: &mut Random) -> Value {
        // Every fourth one is a long read.
        let sentences = if number.is_multiple_of(4) {
            40 + random.below(30)
        } else {
            1 + random.below(6)
        };
        let text: Vec<String> = (0..sentences).map(|_| random.text(6, 16)).collect();
        json!({
            "id": id("review", number),
            "productId": id("product", random.below(self.products.max(1))),
            "customerId": id("customer", random.below(self.customers.max(1))),
            "stars": 1 + random.below(5),
            "title": random.text(2, 5),
            "text": text.join(" "),
            "verified": random.below(3) > 0,
            "helpful": [random.below(50), random.below(20)],
        })
    }
}

fn customer(number: u64, random: &mut Random) -> Value {
    let (first, last) = (random.pick(&FIRST_NAMES), random.pick(&LAST_NAMES));
    let (city, country) = *random.pick_ref(&CITIES);
    let tags: Vec<&str> = [
        "newsletter",
        "wholesale",
        "gift card",
        "returns often",
        "vip",
    ]
    .into_iter()
    .filter(|_| random.below(3) == 0)
    .collect();
    let mut customer = json!({
        "id": id("customer", number),
        "name": format!("{first} {last}"),
        "email": format!("customer{number}@example.com"),
        "active": random.below(8) > 0,
        "joinedAt": random.time(2_000),
        "points": random.below(10_000),
        "address": { "street": format!("{} {}", random.pick(&STREETS), 1 + random.below(180)), "city": city, "country": country },
    });
    if !tags.is_empty() {
        customer["tags"] = tags.into();
    }
    customer
}

fn product(number: u64, random: &mut Random) -> Value {
    let kind = random.pick(&[
        "lamp",
        "chair",
        "kettle",
        "backpack",
        "notebook",
        "speaker",
        "bicycle bell",
        "raincoat",
    ]);
    let stock = random.below(400);
    json!({
        "id": id("product", number),
        "name": format!("{} {kind}", random.pick(&["Oak", "Steel", "Nordic", "Pocket", "Garden", "Café", "Little", "Blue"])),
        "description": random.text(12, 40),
        "price": amount(199 + random.below(50_000)),
        "stock": stock,
        "available": stock > 0,
        "categories": [random.pick(&["home", "travel", "office"]), random.pick(&["new", "classic", "sale"])],
        "specification": {
            "weightGrams": 50 + random.below(8_000),
            "colors": [random.pick(&["red", "blue"]), random.pick(&["green", "black"])],
            "guarantee": { "years": 1 + random.below(5), "transferable": random.below(2) == 0 },
        },
        "addedAt": random.time(1_500),
    })
}

const FIRST_NAMES: [&str; 10] = [
    "Ana", "Bruno", "Chloé", "Dmitri", "Emeka", "Freya", "Giulia", "Hana", "João", "Zoë",
];
const LAST_NAMES: [&str; 8] = [
    "Almeida", "Berg", "Costa", "Dubois", "Eze", "Fischer", "Núñez", "Tanaka",
];
const STREETS: [&str; 5] = [
    "Harbour Street",
    "Rua das Flores",
    "Lindenallee",
    "Rue Lepic",
    "Mill Lane",
];
const CITIES: [(&str, &str); 6] = [
    ("Lisboa", "PT"),
    ("São Paulo", "BR"),
    ("Köln", "DE"),
    ("Lyon", "FR"),
    ("Leeds", "GB"),
    ("Kyoto", "JP"),
];
const WORDS: [&str; 32] = [
    "sturdy",
    "light",
    "arrived",
    "quickly",
    "colour",
    "exactly",
    "as",
    "shown",
    "would",
    "buy",
    "again",
    "the",
    "handle",
    "feels",
    "solid",
    "after",
    "three",
    "weeks",
    "of",
    "daily",
    "use",
    "and",
    "still",
    "looks",
    "new",
    "packaging",
    "was",
    "plain",
    "but",
    "fine",
    "quiet",
    "warm",
];

fn id(kind: &str, number: u64) -> String {
    format!("{kind}-{number:06}")
}

/// An amount of money, of its cents; a whole one is printed without a fraction, as JavaScript does.
fn amount(cents: u64) -> Value {
    match cents % 100 {
        0 => (cents / 100).into(),
        _ => (cents as f64 / 100.0).into(),
    }
}

/// Numbers that look random and are the same every time: splitmix64.
struct Random(u64);

impl Random {
    /// Each record has a sequence of its own, so that records don't depend on each other.
    fn new(resource: &str, number: u64) -> Self {
        let seed = resource.bytes().fold(0x7EE1_1EE0, |seed: u64, byte| {
            seed.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        let mut random = Random(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick_ref<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.below(from.len() as u64);
        &from[usize::try_from(index).unwrap_or(0)]
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *self.pick_ref(from)
    }

    /// A sentence of so many words.
    fn text(&mut self, min: u64, max: u64) -> String {
        let words: Vec<&str> = (0..min + self.below(max - min))
            .map(|_| self.pick(&WORDS))
            .collect();
        let mut text = words.join(" ");
        text.get_mut(..1)
            .map(str::make_ascii_uppercase)
            .unwrap_or_default();
        text + "."
    }

    /// A moment in the last so many days before the sample was written, as s3db.js reads it back.
    fn time(&mut self, days: u64) -> String {
        let before = i64::try_from(self.below(days * DAY_MS)).unwrap_or(0);
        Timestamp::from_unix_ms(WRITTEN_MS - before).to_string()
    }
}
