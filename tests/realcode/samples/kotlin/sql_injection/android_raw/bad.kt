package com.acme.notes

import android.database.sqlite.SQLiteDatabase

class NoteStore(private val db: SQLiteDatabase) {
    fun search(term: String) =
        db.rawQuery("SELECT * FROM notes WHERE body LIKE '%" + term + "%'", null)
}
