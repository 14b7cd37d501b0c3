//! What is ticked: the same text on both sides.

/// Logs a line and says that there is nothing to do.
pub const HELLO: &str = include_str!("../../../programs/hello-vigy/main.tlisp");

/// Two maps of 50 entries, of which 25 differ, and an action for each of those.
pub const RECONCILE: &str = "
(define (entries more)
  (foldl (lambda (m i) (hash-map-set m i (if (= 0 (mod i 2)) (+ i more) i))) (hash-map) (range 0 50)))
(define want (entries 1))
(define have (entries 0))
(for-each (lambda (i)
            (if (not (= (hash-map-get want i) (hash-map-get have i)))
                (vigy-update (hash-map :index i :want (hash-map-get want i)))
                ()))
          (range 0 50))
";

/// Never ends: out of fuel, at last.
pub const HOSTILE: &str = "(define (f) (f)) (f)";
