package main

import "sync"

// arguments has the fields of every tool's arguments.
type arguments struct {
	ID      string  `json:"id"`
	Key     string  `json:"key"`
	Note    string  `json:"note"`
	Number  int64   `json:"number"`
	How     string  `json:"how"`
	Seconds float64 `json:"seconds"`
}

type note struct {
	ID     string `json:"id"`
	Note   string `json:"note"`
	Number int64  `json:"number"`
	Count  int    `json:"count"`
}

// notes keeps what was written, and counts what happened under each key.
type notes struct {
	mutex sync.Mutex
	kept  map[string]note
	seen  map[string]map[string]int
}

func newNotes() *notes {
	return &notes{kept: map[string]note{}, seen: map[string]map[string]int{}}
}

func (n *notes) counted(key, what string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.count(key, what)
}

func (n *notes) count(key, what string) int {
	if n.seen[key] == nil {
		n.seen[key] = map[string]int{}
	}
	n.seen[key][what]++
	return n.seen[key][what]
}

func (n *notes) find(key string) (note, bool) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	found, ok := n.kept[key]
	return found, ok
}

func (n *notes) write(key string, arguments arguments) note {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	made := note{ID: key, Note: arguments.Note, Number: arguments.Number, Count: n.count(key, "bodies")}
	n.kept[key] = made
	return made
}

func (n *notes) erase(id string) bool {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	_, ok := n.kept[id]
	delete(n.kept, id)
	return ok
}

func (n *notes) counts(key string) map[string]int {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	found := map[string]int{}
	for _, what := range []string{"calls", "bodies", "started", "ended", "cancelled"} {
		found[what] = n.seen[key][what]
	}
	return found
}
