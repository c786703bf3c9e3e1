import type { StateCollection } from '../platform/state-store.ts'
import type { ToldState } from './state-report.ts'

/** Something whose hearing nobody knows of: `state` is the newest before or in it, `gone` that the object is no more, `anew` that it is there after that may have been heard. */
interface Telling {
  readonly state: ToldState
  readonly gone?: true
  readonly anew?: true
}
type Heard = Readonly<Record<string, ToldState>>
type Told = Readonly<Record<string, Telling>>

/** What the control plane of this host was told, as it is kept: nothing of it counts for another node id. */
export interface ToldStates {
  readonly nodeId: string
  readonly vms: Heard
  readonly pools: Heard
  /** What was being told when this was kept. */
  readonly telling?: { readonly vms: Told; readonly pools: Told }
}

/** What was told of the objects of one kind, by their ids. */
export class ToldObjects {
  readonly #heard = new Map<string, ToldState>()
  readonly #telling = new Map<string, Telling>()

  /** Of all objects that the control plane may know. */
  get ids(): readonly string[] {
    return [...new Set([...this.#heard.keys(), ...this.#telling.keys()])]
  }

  /** What was heard last, for certain. */
  heard(id: string): ToldState | undefined {
    return this.#heard.get(id)
  }

  /** The newest that may have been heard: changes are counted from it. */
  newest(id: string): ToldState | undefined {
    return this.#telling.get(id)?.state ?? this.#heard.get(id)
  }

  /** Whether the control plane knows the object, for certain. */
  isKnown(id: string): boolean {
    const { gone, anew } = this.#telling.get(id) ?? {}
    return this.#heard.has(id) && gone !== true && anew !== true
  }

  /** Whether `now` (undefined = gone) is to be told: it was not heard, or something else may have been since. */
  isNews(id: string, now: ToldState | undefined): boolean {
    return this.#telling.has(id) || this.#heard.get(id) !== now
  }

  /** Before `now` is told. Returns what to do when it was certainly not heard. */
  begin(id: string, now: ToldState | undefined): () => void {
    const before = this.#telling.get(id)
    const newest = this.newest(id)
    const wasGone = before?.gone === true || before?.anew === true
    if (now !== undefined) this.#telling.set(id, wasGone ? { state: now, anew: true } : { state: now })
    else if (newest !== undefined) this.#telling.set(id, { state: newest, gone: true })
    return () => {
      if (before === undefined) this.#telling.delete(id)
      else this.#telling.set(id, before)
    }
  }

  /** `now` was heard. */
  end(id: string, now: ToldState | undefined): void {
    this.#telling.delete(id)
    if (now === undefined) this.#heard.delete(id)
    else this.#heard.set(id, now)
  }

  /** These states were heard, and that there is nothing else. */
  replace(heard: Iterable<readonly [string, ToldState]>, telling: Iterable<readonly [string, Telling]> = []): void {
    this.#heard.clear()
    this.#telling.clear()
    for (const [id, state] of heard) this.#heard.set(id, state)
    for (const [id, state] of telling) this.#telling.set(id, state)
  }

  /** As it is kept. */
  kept(): { readonly heard: Heard; readonly telling: Told } {
    return { heard: Object.fromEntries(this.#heard), telling: Object.fromEntries(this.#telling) }
  }
}

const STORE_KEY = 'told'

/**
 * What one node was told, kept over restarts. What is about to be told is kept before it is: whoever ends between an answer and its record, or misses the answer, would else take the state before for the known one, and
 * an object that is back in it by then would never be told again.
 */
export class ToldRecord {
  readonly vms = new ToldObjects()
  readonly pools = new ToldObjects()
  readonly #store: StateCollection<ToldStates>
  #loaded = false
  #isSaved = true
  #nodeId = ''

  constructor(store: StateCollection<ToldStates>) {
    this.#store = store
  }

  /** Before anything else: what `nodeId` was told. Another one was told nothing. */
  async use(nodeId: string): Promise<void> {
    if (!this.#loaded) {
      const kept = await this.#store.get(STORE_KEY)
      const { vms = {}, pools = {} } = kept?.telling ?? {}
      this.vms.replace(Object.entries(kept?.vms ?? {}), Object.entries(vms))
      this.pools.replace(Object.entries(kept?.pools ?? {}), Object.entries(pools))
      this.#nodeId = kept?.nodeId ?? ''
      this.#loaded = true
    }
    if (this.#nodeId === nodeId) return
    this.vms.replace([])
    this.pools.replace([])
    this.#nodeId = nodeId
  }

  /** Keeps it all, durably. */
  async save(): Promise<void> {
    this.#isSaved = false
    const [vms, pools] = [this.vms.kept(), this.pools.kept()]
    await this.#store.put(STORE_KEY, {
      ...{ nodeId: this.#nodeId, vms: vms.heard, pools: pools.heard },
      telling: { vms: vms.telling, pools: pools.telling },
    })
    this.#isSaved = true
  }

  /** Does the last `save` again if it failed. */
  async saveAgain(): Promise<void> {
    if (!this.#isSaved) await this.save()
  }
}
